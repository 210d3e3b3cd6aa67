/**
 * Tables of counts as .npz files, for `numpy.load`:
 *   meta       u1 [bytes]             JSON in UTF-8: format, version, model, layers, domains, layers of pairs, provenance
 *   counts     u4 [D, C, E]
 *   pairs      u4 [D, P, E, E]        optional
 *   top_tokens i4 [D, C, E, M, 2]     optional; -1 where there is none
 */
import { zipSync } from 'fflate';
import { InvalidTrace } from '../errors.ts';
import { checkCounts, type CountsTable } from './counts-table.ts';
import { decodeJson, encodeJson, readProvenance, record } from './npz-meta.ts';
import { Members } from './npz-members.ts';
import { DATE } from './npz.ts';
import { encodeNpy } from './npy.ts';

export const COUNTS_FORMAT = 'webmoe-counts';
const VERSION = 1;

/** @throws InvalidTrace when the parts contradict each other */
export function writeCounts(table: CountsTable): Uint8Array {
  const { model, layers, domains, counts, pairs, topTokens, provenance } = checkCounts(table);
  const [d, c, e] = [domains.length, layers.length, model.experts];
  const facts = { model, layers, domains, pairs: pairs?.layers ?? [], provenance };
  const meta = encodeJson({ format: COUNTS_FORMAT, version: VERSION, ...facts });
  const members = {
    'meta.npy': encodeNpy(meta, [meta.length]),
    'counts.npy': encodeNpy(counts, [d, c, e]),
    ...(pairs && { 'pairs.npy': encodeNpy(pairs.counts, [d, pairs.layers.length, e, e]) }),
    ...(topTokens && { 'top_tokens.npy': encodeNpy(topTokens.entries, [d, c, e, topTokens.most, 2]) }),
  };
  return zipSync(members, { level: 9, mtime: DATE });
}

/** @throws InvalidTrace when it is damaged, of a later version, or no table of counts */
export function readCounts(bytes: Uint8Array, file = 'counts'): CountsTable {
  const members = new Members(bytes, file);
  const meta = record(decodeJson(members.array('meta', ['u1'], [null]).data as Uint8Array, `${file}: its meta`));
  if (meta.format !== COUNTS_FORMAT) throw new InvalidTrace(`${file} is no ${COUNTS_FORMAT}`, { file });
  if (meta.version !== VERSION)
    throw new InvalidTrace(`${file} has version ${String(meta.version)}; this webmoe reads ${VERSION}`, { file });
  const { name, experts, topK } = record(meta.model);
  const { layers, domains, pairs: pairLayers } = meta;
  if (![layers, domains, pairLayers].every(Array.isArray))
    throw new InvalidTrace(`${file}: its meta must list layers, domains and pairs`, { file });
  const table = { layers, domains } as Pick<CountsTable, 'layers' | 'domains'>;
  const shape = [table.domains.length, table.layers.length, experts as number];
  const between = pairLayers as [number, number][];
  const pairs = members.optional('pairs', ['u4'], [shape[0]!, between.length, shape[2]!, shape[2]!]);
  const top = members.optional('top_tokens', ['i4'], [...shape, null, 2]);
  return checkCounts(
    {
      model: { name: name as string, experts: experts as number, topK: topK as number },
      ...table,
      counts: members.array('counts', ['u4'], shape).data as Uint32Array,
      pairs: pairs && { layers: between, counts: pairs.data as Uint32Array },
      topTokens: top && { most: top.shape[3]!, entries: top.data as Int32Array },
      provenance: readProvenance(record(meta.provenance)),
    },
    file,
  );
}
