/** What loading reads from the checkpoint: bytes by file, matrices by what happens to them. */
import { layoutName } from '../../weights/layout.ts';
import type { PublishedMatrix } from '../../weights/matrix.ts';
import type { ModelSpec } from '../describe/specs.ts';
import type { Plan } from '../plan.ts';
import { matrixParts, modelParts, type ModelParts } from './parts.ts';

export function conversions(parts: ModelParts): Plan['conversions'] {
  const found: Record<string, { matrices: number; bytes: number }> = {};
  const count = (format: string, layout: string, bytes: number): void => {
    const entry = (found[format === layout ? format : `${format} -> ${layout}`] ??= { matrices: 0, bytes: 0 });
    entry.matrices++;
    entry.bytes += bytes;
  };
  for (const part of matrixParts(parts)) {
    for (const p of part.pieces)
      count(p.source.format, layoutName(part.layout), p.source.storedBytes * ((p.end - p.begin) / p.source.rows));
  }
  for (const x of parts.experts) {
    for (let e = 0; e < x.count; e++) {
      const { gate, up, down } = x.matrices(e);
      for (const m of [gate, up]) count(m.format, layoutName(x.slot.gateUp), m.storedBytes);
      count(down.format, layoutName(x.slot.down), down.storedBytes);
    }
  }
  return found;
}

/** Bytes of the weights in each file of the checkpoint, in the order of their names. */
export function fileBytes(spec: ModelSpec): ReadonlyMap<string, number> {
  const parts = modelParts(spec);
  const found = new Map<string, number>();
  const count = ({ file, storedBytes, rows }: PublishedMatrix, part = rows): void =>
    void found.set(file, (found.get(file) ?? 0) + (storedBytes * part) / rows);
  for (const { pieces } of matrixParts(parts)) for (const p of pieces) count(p.source, p.end - p.begin);
  for (const x of parts.experts)
    for (let e = 0; e < x.count; e++) for (const m of Object.values(x.matrices(e))) count(m);
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}
