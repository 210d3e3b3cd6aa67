import { describe, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { embedRows } from '../../../src/kernels/embed/embed_rows.ts';
import { embedRows as twin } from '../../../src/reference/embed/embed_rows.ts';
import { decodeMatrix, encodeMatrix } from '../../../src/reference/weights.ts';
import type { Layout } from '../../../src/weights/layout.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { thinned } from '../../support/everyday.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { integers, normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

interface Case {
  readonly name: string;
  readonly tokens: number;
  readonly rows: number;
  readonly size: number;
  readonly layout: Layout;
  readonly ids?: readonly number[];
  /** Cuts the table in two at this row. */
  readonly cut?: number;
  readonly scale?: number;
  /** Of the first token, with sinusoids. */
  readonly position?: number;
}

const BF16: Layout = { kind: 'bf16' };
const INT8: Layout = { kind: 'int', bits: 8, group: 32, scale: 'bf16', zeros: false };
const INT4: Layout = { kind: 'int', bits: 4, group: 64, scale: 'f16', zeros: true };

const cases: Case[] = [
  { name: 'no_tokens', tokens: 0, rows: 4, size: 32, layout: BF16 },
  { name: 'one_of_everything', tokens: 1, rows: 1, size: 1, layout: BF16 },
  { name: 'bf16', tokens: 7, rows: 23, size: 101, layout: BF16 },
  { name: 'f32', tokens: 3, rows: 5, size: 64, layout: { kind: 'f32' } },
  { name: 'f16', tokens: 3, rows: 5, size: 70, layout: { kind: 'f16' } },
  { name: 'mxfp4', tokens: 3, rows: 5, size: 70, layout: { kind: 'mxfp4' } },
  { name: 'int8', tokens: 5, rows: 23, size: 96, layout: INT8 },
  { name: 'int4', tokens: 5, rows: 23, size: 90, layout: INT4 },
  { name: 'more_chunks_than_lanes', tokens: 2, rows: 3, size: 2090, layout: INT8 },
  { name: 'beyond_the_table', tokens: 4, rows: 9, size: 40, layout: BF16, ids: [8, 9, 0xffffffff, 0] },
  { name: 'two_parts', tokens: 6, rows: 9, size: 40, layout: INT8, ids: [8, 0, 3, 4, 5, 4], cut: 4, scale: 12 },
  { name: 'sinusoids', tokens: 3, rows: 5, size: 40, layout: BF16, scale: 3, position: 4 },
  {
    name: 'sinusoids_two_parts',
    tokens: 6,
    rows: 9,
    size: 34,
    layout: BF16,
    ids: [8, 0, 3, 4, 5, 4],
    cut: 4,
    position: 0,
  },
];

async function check({ name, tokens, rows, size, layout, cut, scale = 1, ...c }: Case): Promise<void> {
  const ids = c.ids ? Uint32Array.from(c.ids) : integers(1, Math.max(1, tokens), rows);
  const values = normals(2, rows * size);
  const part = (begin: number, end: number): Uint32Array<ArrayBuffer> =>
    encodeMatrix(values.subarray(begin * size, end * size), layout, { rows: end - begin, cols: size });
  const at =
    c.position === undefined ? null : { position: c.position, sinusoids: normals(3, (tokens + c.position) * size) };
  const inputs = {
    ids,
    first: part(0, cut ?? rows),
    ...(cut && { second: part(cut, rows) }),
    ...(at && { sinusoids: at.sinusoids }),
  };
  const got = await runKernel(gpu, {
    inputs,
    outputs: { out: tokens * size },
    step: { tokens, position: at?.position ?? 0 },
    record: (r, v) => {
      const io = { ids: v.ids!, sinusoids: v.sinusoids ?? null, out: v.out! };
      embedRows(r, name, { ...io, weights: { view: v.first!, layout, rows: cut ?? rows, cols: size } }, { scale });
      if (!cut) return;
      const weights = { view: v.second!, layout, rows: rows - cut, cols: size };
      embedRows(r, name, { ...io, weights }, { firstRow: cut, scale });
    },
  });
  const table = decodeMatrix(part(0, rows), layout, { rows, cols: size });
  // Two f32 products and a sum.
  expectClose(asF32(got.out!), twin(ids, table, { tokens, rows, size, scale }, at ?? undefined), 3e-7, name);
}

const named = (name: string): Case => cases.find((c) => c.name === name)!;

describe('embed/embed_rows', () => {
  it.each(thinned(cases, 3))('$name', check);
  it.each<[string, string, (s: string) => string]>([
    ['does not clamp', 'beyond_the_table', (s) => s.replace('min(ids[t], N - 1u)', 'ids[t]')],
    ['forgets the scale', 'two_parts', (s) => s.replace(' * SCALE;', ';')],
    ['ignores ids', 'bf16', (s) => s.replace('min(ids[t], N - 1u)', 't')],
    ['stores beyond D', 'bf16', (s) => s.replace('if (d < D)', 'if (d <= D)')],
    ['forgets where its part starts', 'two_parts', (s) => s.replace(' - FIRST_ROW;', ';')],
    ['overwrites tokens of other parts', 'two_parts', (s) => s.replace('if (row >= N) { return; }', '')],
    ['forgets where the tokens are', 'sinusoids', (s) => s.replace('(u_step.position + t)', 't')],
    [
      'leaves the last value without its sinusoid',
      'sinusoids',
      (s) => s.replace('if (d < D) { out[t * D + d] +=', 'if (d < D - 1u) { out[t * D + d] +='),
    ],
    ['stops after one trip', 'more_chunks_than_lanes', (s) => s.replace('(W_CHUNKS + WG - 1u) / WG', '1u')],
  ])('notices a kernel that %s', async (_what, name, mutate) => {
    await expectMutantToFail(gpu, shaderText, 'embed/embed_rows', mutate, () => check(named(name)));
  });
});
