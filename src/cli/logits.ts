/** `webmoe logits`: scores token ids and writes what the golden fixtures hold, for comparison with other implementations. */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { InvalidRequest } from '../errors.ts';
import type { LayerRouting } from '../engine/routing.ts';
import type { OptionSpec, Options } from './args.ts';
import { loadModel, MODEL_OPTIONS, parseIds, type Output } from './common.ts';
import { encodeSafetensors, type NamedTensor } from './write-safetensors.ts';

export const LOGITS_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  ...MODEL_OPTIONS,
  ids: { type: 'text', value: 'FILE.json', help: 'a JSON array of token ids', required: true },
  out: { type: 'text', value: 'FILE.safetensors', help: 'where the tensors go', required: true },
  greedy: { type: 'whole', value: 'N', help: 'also continue greedily by N tokens', min: 1 },
  hidden: { type: 'flag', help: 'also write the hidden states' },
};

/** Routing of all layers as [M, T, K], ascending expert id within a token. */
export function sortedRouting(
  layers: readonly LayerRouting[],
  tokens: number,
): { ids: Int32Array; weights: Float32Array; topK: number } {
  const topK = layers.length ? layers[0]!.ids.length / tokens : 0;
  const uneven = layers.find((l) => l.ids.length !== tokens * topK);
  if (uneven)
    throw new InvalidRequest('MoE layers with different numbers of experts per token do not fit one tensor', {});
  const ids = new Int32Array(layers.length * tokens * topK);
  const weights = new Float32Array(ids.length);
  layers.forEach((layer, m) => {
    for (let t = 0; t < tokens; t++) {
      const pairs = Array.from(
        { length: topK },
        (_, k) => [layer.ids[t * topK + k]!, layer.weights[t * topK + k]!] as const,
      ).sort((a, b) => a[0] - b[0]);
      pairs.forEach(([id, weight], k) => {
        ids[(m * tokens + t) * topK + k] = id;
        weights[(m * tokens + t) * topK + k] = weight;
      });
    }
  });
  return { ids, weights, topK };
}

export async function logitsCommand(options: Options, out: Output): Promise<void> {
  const file = options.text('ids')!;
  const ids = parseIds(
    await readFile(file, 'utf8').catch((cause: unknown) => {
      throw new InvalidRequest(`cannot read ${file}`, { file }, { cause });
    }),
    file,
  );
  const target = options.text('out')!;
  if (!(await stat(dirname(target)).catch(() => null))?.isDirectory())
    throw new InvalidRequest(`cannot write ${target}: there is no folder ${dirname(target)}`, { file: target });
  const greedy = options.number('greedy') ?? 0;
  const model = await loadModel(options, out);
  try {
    const { config } = model;
    const result = await model.logits(ids, { hidden: options.flag('hidden') });
    const tokens = ids.length;
    const routing = sortedRouting(result.routing, tokens);
    const tensors: NamedTensor[] = [
      { name: 'logits', shape: [tokens, config.vocab], data: result.logits },
      { name: 'topk_ids', shape: [result.routing.length, tokens, routing.topK], data: routing.ids },
      { name: 'topk_weights', shape: [result.routing.length, tokens, routing.topK], data: routing.weights },
    ];
    if (result.hidden)
      tensors.push({ name: 'hidden', shape: [config.layers.length + 1, tokens, config.hidden], data: result.hidden });
    if (greedy) {
      const drawn: number[] = [];
      for await (const token of model.generate({ ids }, { temperature: 0, maxTokens: greedy, ignoreEnd: true }))
        drawn.push(token.id);
      tensors.push({ name: 'greedy_ids', shape: [drawn.length], data: Int32Array.from(drawn) });
    }
    await writeFile(target, encodeSafetensors(tensors)).catch((cause: unknown) => {
      throw new InvalidRequest(`cannot write ${target}`, { file: target }, { cause });
    });
  } finally {
    await model.dispose();
  }
}
