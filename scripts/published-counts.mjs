// Makes the visualiser's tables of published counts: node scripts/published-counts.mjs FOLDER
// FOLDER holds {olmoe,mixtral}-{expert-counts,cross-layer-pairs,top-tokens}.json: the pickles of scripts/routing_output in github.com/allenai/OLMoE
// (commit 357454f, Apache-2.0) as JSON, an object of domains; top tokens are [id, count] by expert, for each counted layer.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromSource, root } from '../bench/modules.mjs';

const folder = process.argv[2];
if (!folder) {
  console.error('usage: node scripts/published-counts.mjs FOLDER');
  process.exit(2);
}
const { writeCounts } = await fromSource('published-counts', ['trace/counts-npz.ts']);
const MOST = 10;
const LAYERS = [0, 7, 15];
const PAIRS = [
  [0, 7],
  [7, 15],
];
const MODELS = [
  { id: 'olmoe', name: 'OLMoE-1B-7B', experts: 64, topK: 8 },
  { id: 'mixtral', name: 'Mixtral-8x7B', experts: 8, topK: 2 },
];
const NOTE =
  'Counts published with the OLMoE paper (arXiv 2409.02060), github.com/allenai/OLMoE, commit 357454f, scripts/routing_output, Apache-2.0';

/** [C, E, M, 2] of one domain; -1 where there is none. */
const topTokens = (layers, experts) =>
  LAYERS.flatMap((_, c) =>
    Array.from({ length: experts }, (_expert, e) =>
      Array.from({ length: MOST }, (_entry, m) => layers?.[c]?.[e]?.[m] ?? [-1, -1]),
    ),
  ).flat(2);

for (const { id, ...model } of MODELS) {
  const read = (what) => JSON.parse(readFileSync(join(folder, `${id}-${what}.json`), 'utf8'));
  const [counts, pairs, tokens] = ['expert-counts', 'cross-layer-pairs', 'top-tokens'].map(read);
  const domains = Object.keys(counts);
  const table = {
    model,
    layers: LAYERS,
    domains,
    counts: Uint32Array.from(domains.flatMap((d) => counts[d].flat())),
    pairs: { layers: PAIRS, counts: Uint32Array.from(domains.flatMap((d) => pairs[d].flat(2))) },
    topTokens: { most: MOST, entries: Int32Array.from(domains.flatMap((d) => topTokens(tokens[d], model.experts))) },
    provenance: { kind: 'published', note: NOTE },
  };
  const bytes = writeCounts(table);
  writeFileSync(join(root, 'demo/visualiser/data', `${id}-counts.npz`), bytes);
  console.log(`${id}-counts.npz: ${domains.join(', ')}; ${bytes.length} bytes`);
}
