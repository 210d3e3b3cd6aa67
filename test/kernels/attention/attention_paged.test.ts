import { describe, expect, it } from 'vitest';
import type { GroupedAttention } from '../../../src/config/model-config.ts';
import type { BufferView } from '../../../src/gpu/buffer.ts';
import type { Recorder } from '../../../src/gpu/recording.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { attentionPaged, type AttentionPagedShape } from '../../../src/kernels/attention/attention_paged.ts';
import { latentAbsorb, type LatentCache } from '../../../src/kernels/attention/latent.ts';
import { PAGE_TOKENS, type KvPages } from '../../../src/kernels/attention/pages.ts';
import { rotateAppend, rotateAppendPaged } from '../../../src/kernels/attention/rotate_append.ts';
import { ropeTable } from '../../../src/layers/rope.ts';
import { attentionPaged as twin, type PagedRow } from '../../../src/reference/attention/attention_paged.ts';
import { encodeMatrix } from '../../../src/reference/weights.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { thinned } from '../../support/everyday.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

/** Pages of three sequences, scattered; page 2 is the first of two of them, 0, 7 and 10 nobody's. */
const PAGES = 12;
const SEQUENCES = [
  [5, 1, 9, 3, 11],
  [2, 8],
  [2, 4, 6],
];
const row = (sequence: number, position: number): PagedRow => ({ position, pages: SEQUENCES[sequence]! });

/** What shaders read of rows: see KvPages. */
function rowWords(rows: readonly PagedRow[]): Uint32Array {
  const words: number[] = [];
  const lists: number[] = [];
  for (const { position, pages } of rows) {
    const place = pages[Math.floor(position / PAGE_TOKENS)]! * PAGE_TOKENS + (position % PAGE_TOKENS);
    words.push(position, place, 4 * rows.length + lists.length, 0);
    lists.push(...pages);
  }
  while (lists.length % 4) lists.push(0);
  return Uint32Array.from([...words, ...lists]);
}

interface Case {
  readonly name: string;
  readonly rows: readonly PagedRow[];
  readonly shape?: Partial<AttentionPagedShape>;
  readonly sinks?: boolean;
}
const mixed = [row(0, 66), row(1, 0), row(2, 31), row(2, 32), row(0, 5), row(1, 15), row(1, 16)];
const cases: Case[] = [
  { name: 'rows_of_three_sequences', rows: mixed },
  { name: 'no_rows', rows: [] },
  { name: 'ends_of_pages', rows: [row(0, 15), row(0, 16), row(0, 47), row(0, 79)] },
  { name: 'window_within_a_page', rows: mixed, shape: { window: 7 } },
  { name: 'window_over_pages', rows: mixed, shape: { window: 33 }, sinks: true },
  { name: 'sinks', rows: mixed, sinks: true },
  { name: 'shared_kv_head', rows: mixed, shape: { heads: 8, kvHeads: 1, keySize: 64, valueSize: 64 } },
  { name: 'keys_wider_than_values', rows: mixed, shape: { keySize: 24, valueSize: 16 } },
  { name: 'sizes_that_divide_by_nothing', rows: mixed, shape: { heads: 6, kvHeads: 2, keySize: 37, valueSize: 67 } },
];

const shapeOf = ({ shape }: Case): AttentionPagedShape => ({
  heads: 4,
  kvHeads: 2,
  keySize: 16,
  valueSize: 16,
  scale: 0.3,
  window: null,
  ...shape,
});

/** Values of pages, NaN where no row may look. */
function pagesOf(seed: number, { rows }: Case, kvHeads: number, size: number): Float32Array {
  const values = normals(seed, PAGES * kvHeads * PAGE_TOKENS * size);
  const isSeen = (page: number, token: number): boolean =>
    rows.some(({ position, pages }) => {
      const at = pages.indexOf(page) * PAGE_TOKENS + token;
      return at >= token && at <= position;
    });
  for (let page = 0; page < PAGES; page++)
    for (let h = 0; h < kvHeads; h++)
      for (let token = 0; token < PAGE_TOKENS; token++) {
        const from = ((page * kvHeads + h) * PAGE_TOKENS + token) * size;
        if (!isSeen(page, token)) values.fill(NaN, from, from + size);
      }
  return values;
}

function inputsOf(c: Case) {
  const { heads, kvHeads, keySize, valueSize } = shapeOf(c);
  const all = { ...c, rows: mixed.concat(c.rows) }; // the same values whichever rows are run
  return {
    q: normals(1, c.rows.length * heads * keySize, 1.2),
    kPages: pagesOf(2, all, kvHeads, keySize),
    vPages: pagesOf(3, all, kvHeads, valueSize),
    ...(c.sinks && { sinks: Float32Array.from({ length: heads }, (_, h) => (h % 2 ? -1 : 2)) }),
  };
}

async function run(c: Case, io = inputsOf(c)): Promise<Uint32Array> {
  const { heads, valueSize } = shapeOf(c);
  const { out } = await runKernel(gpu, {
    inputs: { ...io, rows: rowWords(c.rows) },
    outputs: { out: c.rows.length * heads * valueSize },
    step: { tokens: c.rows.length, position: 0 },
    record: (r, v) =>
      attentionPaged(
        r,
        c.name,
        {
          q: v.q!,
          pages: { keys: v.kPages!, values: v.vPages!, rows: v.rows! },
          out: v.out!,
          ...(v.sinks && { sinks: v.sinks }),
        },
        shapeOf(c),
      ),
  });
  return out!;
}

async function check(c: Case): Promise<void> {
  const io = inputsOf(c);
  const got = asF32((await run(c)) as Uint32Array<ArrayBuffer>);
  // As for attention: exp(s - max) has the absolute error of s, about 1e-7 |s|.
  expectClose(got, twin(io, c.rows, PAGE_TOKENS, shapeOf(c)), 6e-6, c.name);
}

describe('attention over pages', () => {
  it.each(thinned(cases, 4).map((c) => [c.name, c] as const))('%s', (_, c) => check(c));

  it('gives a row the same bits alone, in any order', async () => {
    const c = cases.find(({ name }) => name === 'window_over_pages')!;
    const { heads, keySize, valueSize } = shapeOf(c);
    const io = inputsOf(c);
    const together = await run(c);
    for (const t of [0, 3]) {
      const alone = { ...c, rows: [c.rows[t]!] };
      const q = io.q.slice(t * heads * keySize, (t + 1) * heads * keySize);
      expect(await run(alone, { ...io, q })).toEqual(
        together.slice(t * heads * valueSize, (t + 1) * heads * valueSize),
      );
    }
  });

  it.each([
    ['a page of another', 'j / PAGE] * KV_HEADS', '(j + PAGE) / PAGE] * KV_HEADS', 'rows_of_three_sequences'],
    ['the token after it', 'let end = position + 1u', 'let end = position + 2u', 'ends_of_pages'],
    ['no window', 'first_visible(position), end', '0u, end', 'window_within_a_page'],
    ['no sink', 'denominator[r] = 1.0', 'denominator[r] = 0.0', 'sinks'],
  ])('catches a kernel that sees %s', (_, from, to, name) =>
    expectMutantToFail(
      gpu,
      shaderText,
      'attention/attention_paged',
      (text) => text.replace(from, to),
      () => check(cases.find((c) => c.name === name)!),
    ),
  );
});

/** The rows of one sequence in turn, and among others: q and what lies in the pages must be those of the kernel that knows no pages. */
describe('keys and values that go into pages', () => {
  const [heads, size, capacity] = [4, 16, 96];
  const rope = { inverseFrequencies: [1, 0.3, 0.1, 0.03], amplitude: 1.2, interleaved: true };
  const table = ropeTable(rope, capacity);
  const rows = [row(0, 70), row(2, 33), row(0, 69), row(1, 17)];
  type Views = Readonly<Record<string, BufferView>>;

  const grouped: GroupedAttention = {
    kind: 'grouped',
    heads,
    kvHeads: 2,
    headSize: size,
    scale: 1,
    qkNorm: 'full',
    clip: null,
    bias: { qkv: false, o: false },
    window: null,
    sinks: false,
    rope,
  };
  const latent = {
    kind: 'latent',
    heads,
    kvRank: 8,
    qRank: null,
    nopeSize: 8,
    ropeSize: 8,
    valueSize: 16,
    scale: 1,
    innerNormEps: 1e-6,
    rope,
  } as const;
  const latentRow = { rows: heads * 24, cols: 8 };
  const absorbs = { attention: latent, phase: 'prefill', qRow: heads * 16, downRow: 16, latentAt: 0 } as const;
  const absorb = (r: Recorder, v: Views, cache: LatentCache | KvPages): void => {
    const kvUp = { matrix: { view: v.words!, layout: { kind: 'bf16' }, ...latentRow }, firstHead: 0 } as const;
    const io = { q: v.x!, down: v.down!, kvUp, kvGamma: v.gamma!, rope: v.rope!, out: v.q!, cache };
    latentAbsorb(r, 'latent_absorb', io, absorbs);
  };
  const groupedIo = (v: Views) => ({ qkv: v.x!, qGamma: v.qGamma!, kGamma: v.kGamma!, rope: v.rope!, q: v.q! });
  const turns = { attention: grouped, normEps: 1e-3 };

  /** Rows of the caches have `size` values in both. */
  interface Kind {
    readonly kvHeads: number;
    readonly caches: readonly ('keys' | 'values')[];
    /** Values a token. */
    readonly inputs: Readonly<Record<string, number>>;
    readonly constant: Readonly<Record<string, Float32Array | Uint32Array>>;
    plain(r: Recorder, v: Views): void;
    paged(r: Recorder, v: Views): void;
  }
  const kinds: Readonly<Record<string, Kind>> = {
    rotate_append: {
      kvHeads: 2,
      caches: ['keys', 'values'],
      inputs: { x: heads * size + 2 * 2 * size },
      constant: { qGamma: normals(5, heads * size, 0.2, 1), kGamma: normals(6, 2 * size, 0.2, 1) },
      plain: (r, v) =>
        rotateAppend(r, 'rotate', { ...groupedIo(v), kCache: v.keys!, vCache: v.values! }, { ...turns, capacity }),
      paged: (r, v) => {
        const pages = { keys: v.keys!, values: v.values!, rows: v.rows! };
        rotateAppendPaged(r, 'rotate', { ...groupedIo(v), pages }, turns);
      },
    },
    latent_absorb: {
      kvHeads: 1,
      caches: ['keys'],
      inputs: { x: heads * 16, down: 16 },
      constant: {
        gamma: normals(5, 8, 0.2, 1),
        words: encodeMatrix(normals(7, latentRow.rows * latentRow.cols, 0.3), { kind: 'bf16' }, latentRow),
      },
      plain: (r, v) => absorb(r, v, { keys: v.keys!, capacity, format: 'f32' }),
      paged: (r, v) => absorb(r, v, { keys: v.keys!, values: v.keys!, rows: v.rows! }),
    },
  };

  async function compare(name: string): Promise<void> {
    const { kvHeads, caches, inputs, constant, plain, paged } = kinds[name]!;
    const values = Object.entries(inputs).map(([key, n], i) => [key, n, normals(10 + i, n * rows.length)] as const);
    const ofCaches = (words: number) => Object.fromEntries(caches.map((cache) => [cache, words]));
    const all = await runKernel(gpu, {
      inputs: {
        ...constant,
        rope: table,
        ...Object.fromEntries(values.map(([key, , x]) => [key, x])),
        rows: rowWords(rows),
      },
      outputs: { q: rows.length * heads * size, ...ofCaches(PAGES * kvHeads * PAGE_TOKENS * size) },
      step: { tokens: rows.length, position: 0 },
      record: paged,
    });
    const expected = { keys: new Map<number, number>(), values: new Map<number, number>() };
    for (const [t, { position, pages }] of rows.entries()) {
      const alone = await runKernel(gpu, {
        inputs: {
          ...constant,
          rope: table,
          ...Object.fromEntries(values.map(([key, n, x]) => [key, x.slice(t * n, (t + 1) * n)])),
        },
        outputs: { q: heads * size, ...ofCaches(kvHeads * capacity * size) },
        step: { tokens: 1, position },
        record: plain,
      });
      expect(all.q!.slice(t * heads * size, (t + 1) * heads * size)).toEqual(alone.q);
      const page = pages[Math.floor(position / PAGE_TOKENS)]!;
      for (const cache of caches)
        for (let h = 0; h < kvHeads; h++)
          for (let d = 0; d < size; d++) {
            const to = ((page * kvHeads + h) * PAGE_TOKENS + (position % PAGE_TOKENS)) * size + d;
            expected[cache].set(to, alone[cache]![(h * capacity + position) * size + d]!);
          }
    }
    for (const cache of caches) {
      const written = new Map([...all[cache]!.entries()].filter(([at]) => expected[cache].has(at)));
      expect(written).toEqual(expected[cache]);
      expect(all[cache]!.filter((word) => word !== 0x7fc0dead)).toHaveLength(expected[cache].size);
    }
  }

  it.each(Object.keys(kinds))('by %s', (name) => compare(name));

  it('catches one that takes the place of another', () =>
    expectMutantToFail(
      gpu,
      shaderText,
      'shared/place',
      (text) => text.replace('let place = rows[t].y;', 'let place = rows[0].y + t;'),
      () => compare('rotate_append'),
    ));
});
