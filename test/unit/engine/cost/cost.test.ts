/** The cost model on whole models, recorded on paper: against the files' own tensors, against counting one by one, against published figures. */
import { basename } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { madeConfig, madeSource } from '../../../../src/cli/bench/made-source.ts';
import { costSheet, type CostSheet } from '../../../../src/engine/cost/cost-sheet.ts';
import { bytesOf, floorTime, paddingFactor, totalCost } from '../../../../src/engine/cost/program-cost.ts';
import { countedTraffic, evenTraffic } from '../../../../src/engine/cost/traffic.ts';
import { openModel, planOpened } from '../../../../src/engine/open.ts';
import type { Precision } from '../../../../src/engine/precision.ts';
import type { KernelChoice } from '../../../../src/gpu/device.ts';
import { shaderText } from '../../../../src/gpu/shaders.gen.ts';
import { COST_RULES, costOf } from '../../../../src/kernels/costs.ts';
import type { ByteSource } from '../../../../src/weights/source.ts';
import { alignUp } from '../../../../src/util/math.ts';
import { pathSource } from '../../../../src/weights/node-source.ts';
import { hollowSource } from '../../../support/hollow.ts';
import { ENCODER_DECODERS } from '../../../support/fixture-list.ts';
import { fixturePath, SHIPPED } from '../../../support/models.ts';
import { published } from '../../config/published.ts';
import { FAMILY_FIXTURES, hasEncoder, loadConfig, readModel } from '../../families/checkpoint.ts';

const UNBOUND = { maxBufferSize: 2 ** 50, maxStorageBufferBindingSize: 2 ** 50 };

interface Wishes {
  readonly kernels?: KernelChoice;
  readonly weights?: Precision;
  readonly contextLength?: number;
  readonly prefillChunk?: number;
}

async function sheetOf(
  source: ByteSource,
  { kernels = 'gpu', weights = 'as-is', ...plan }: Wishes = {},
): Promise<CostSheet> {
  const opened = await openModel(source);
  const planned = planOpened(opened, UNBOUND, weights, { gpuBytes: 2 ** 50, contextLength: 512, ...plan });
  return costSheet(opened, planned, kernels);
}
const ofFixture = (name: string, wishes?: Wishes): Promise<CostSheet> => sheetOf(pathSource(fixturePath(name)), wishes);

test('every kernel has a cost rule, and every rule a kernel', () => {
  const kernels = Object.keys(shaderText).filter((path) => /^@compute\b/m.test(shaderText[path]!));
  expect(Object.keys(COST_RULES).sort()).toEqual(kernels.sort());
});

describe('the weights that a token reads', () => {
  /** Of tensors in bf16: vectors lie in f32 on the GPU, biases of experts, the gate of a shared expert, layers of a router and what recurrent states are made with among them. */
  const IN_F32 =
    /_bias$|shared_expert_gate|conv(?:1d|_qk_\w+)?\.weight$|A_log$|gate\.wg\.2\.weight$|router_mlp\.fc[12]\.weight$/;
  const bytesOnGpu = (name: string, { shape }: { readonly shape: readonly number[] }): number => {
    if (shape.length === 4) return shape[2]! * bytesOnGpu(name, { shape: shape.slice(0, 2) }); // a matrix for each token of a convolution
    const isVector = shape.length === 1 || IN_F32.test(name);
    // Rows of matrices are filled up to whole chunks of 32; OpenMoE's experts are stored column by column.
    const row = /\.experts\.w[io]/.test(name) ? 1 : shape.length - 1;
    const filled = shape.map((size, i) => (i === row && !isVector ? alignUp(size, 32) : size));
    return filled.reduce((x, y) => x * y, isVector ? 4 : 2);
  };

  /** A mixture of attention heads projects to those of all. */
  const isOfExperts =
    /(?<!self_attn|self_attention)\.experts\.(?!e_score)|\.(?:mlp|block_sparse_moe)\.(?:input|output)_linear/;

  /** Bytes that lie on the GPU otherwise than in the file. */
  const OTHERWISE: Readonly<Record<string, number>> = {
    // Of three delta nets: gains of 1 for q and k, and those of the gated norm once for each of its four heads.
    'qwen3-next': 3 * 4 * (2 * 32 + 3 * 16),
    'qwen3-5-moe': 3 * 4 * (2 * 32 + 3 * 16),
    // Taps that give the token before, for both convolutions of two layers.
    yuan: 2 * 4 * 2 * (64 + 32),
    // Gains and biases of what joins and of the stream, four vectors in six places, lie as three; those of the embedding, two, too.
    zaya: 4 * 64 * (1 - 6),
    // The rows of the second layer's keys are those of its values, too.
    gemma4: 2 * 32 * 64,
  };

  it.each(ENCODER_DECODERS)(
    '%s: of a decoder are those of its own stack, without what makes keys and values of a text',
    async (name) => {
      const folder = fixturePath(name);
      const { config, names } = loadConfig(folder);
      const { layers } = config;
      const moe = layers.map(({ ffn }) => ffn).find((ffn) => ffn.kind === 'moe');
      const biased = layers.filter(({ mixer }) => mixer.kind === 'grouped' && mixer.distanceBias).length;
      let expected = 0;
      for (const [name, tensor] of readModel(folder)) {
        if (/^(?:model\.)?encoder\.|EncDecAttention\.[kv]\.|(?:encoder_attn|cross_attention)\.[kv]_/.test(name))
          continue;
        const bytes = bytesOnGpu(name, tensor);
        if (name === `${names.embed}.weight`) expected += bytes / config.vocab + bytes;
        // A table in f32 for each layer that reads it.
        else if (name.includes('relative')) expected += 4 * 16 * 4 * (biased - config.encoder!.layers);
        else expected += moe && isOfExperts.test(name) ? (bytes * moe.topK) / moe.experts : bytes;
      }
      const sheet = await sheetOf(pathSource(folder), { contextLength: 128 });
      expect(totalCost(sheet.token(40)).weightBytes).toBe(expected);
      expect(totalCost(sheet.prompt(37)).weightBytes).toBeGreaterThan(1.5 * expected);
    },
  );

  it.each(FAMILY_FIXTURES.filter((folder) => !hasEncoder(folder)))(
    '%s: everything else once, K of E experts, one row of the embedding',
    async (folder) => {
      const { config, names } = loadConfig(folder);
      const moe = config.layers.map((l) => l.ffn).find((ffn) => ffn.kind === 'moe');
      let [expected, experts] = [OTHERWISE[basename(folder)] ?? 0, 0];
      for (const [name, tensor] of readModel(folder)) {
        if (names.ignored(name)) continue;
        const bytes = bytesOnGpu(name, tensor);
        // A bias on the sum of the chosen is a share in each expert's own, which come with those of gate and up.
        if (moe && name.endsWith('.mlp.bias')) expected += 4 * moe.topK * (2 * moe.width + config.hidden);
        else if (isOfExperts.test(name)) experts += bytes;
        else if (name === `${names.embed}.weight`)
          expected += bytes / config.vocab + (config.tieEmbeddings ? bytes : 0);
        else expected += bytes;
      }
      if (moe) expected += (moe.topK * experts) / (moe.experts - (moe.nulls ?? 0));
      for (const kernels of ['gpu', 'software'] as const) {
        const sheet = await sheetOf(pathSource(folder), { kernels });
        const [token, prompt] = [totalCost(sheet.token(40)), totalCost(sheet.prompt(37))];
        expect(token.weightBytes).toBe(expected);
        expect(prompt.weightBytes).toBeGreaterThan(token.weightBytes);
        for (const cost of [token, prompt]) expect(paddingFactor(cost)).toBeGreaterThanOrEqual(1);
      }
    },
  );

  it('of the shipped model, to the byte: 8 of 16 experts, and a row of the embedding that is also the head', async () => {
    // Values of int4 with a bf16 scale for 32, of int8 with one for 64 (padded to words a row), and the rest in bf16; vectors in f32.
    const int4 = (rows: number, cols: number): number => rows * (cols / 2 + 4 * Math.ceil(cols / 64));
    const int8 = (rows: number, cols: number): number => rows * (cols + 4 * Math.ceil(cols / 128));
    const [d, f] = [576, 64];
    const glu = (width: number): number => 2 * int4(width, d) + int4(d, width);
    const attention = int8(576, d) + 2 * int8(192, d) + int8(d, 576);
    const moe = 2 * 16 * d + 4 * 16 + glu(512) + 8 * glu(f);
    const expected = 30 * (attention + 2 * 4 * d) + glu(1536) + 29 * moe + 2 * 49152 * d + 2 * d + 4 * d;
    expect(totalCost((await sheetOf(pathSource(SHIPPED))).token(7)).weightBytes).toBe(expected);
  });

  it('grow with E by rows of the router alone', async () => {
    const of = async (experts: number): Promise<number> => {
      const shape = { experts, topK: 2, width: 64, layers: 2, hidden: 64, vocab: 256 };
      const { token } = await sheetOf(madeSource('made', madeConfig(shape), null));
      return totalCost(token(3)).weightBytes;
    };
    expect((await of(32)) - (await of(8))).toBe(2 * 24 * 64 * 2); // layers, rows, D, bf16
  });

  it('do not grow with the context; keys and values do, evenly', async () => {
    const sheet = await ofFixture('families/olmoe');
    const [a, b, c] = [10, 110, 210].map((position) => totalCost(sheet.token(position))) as [never, never, never];
    const kv = (cost: { kvBytes: number }): number => cost.kvBytes;
    expect(kv(b) - kv(a)).toBe(kv(c) - kv(b));
    expect(kv(b) - kv(a)).toBe(100 * 2 * 2 * 4 * 16 * 4); // tokens, layers, keys and values, kv heads, head size, f32
    const weights = [a, b, c].map((cost: { weightBytes: number }) => cost.weightBytes);
    expect(new Set(weights).size).toBe(1);
  });
});

describe('published figures', () => {
  // E (1 - (1 - K/E)^T), and tile rows of an even multinomial, as computed elsewhere.
  it.each([
    ['OLMoE', 64, 8, [15, 26.5, 42, 56.4]],
    ['Qwen3-30B', 128, 8, [15.5, 29, 52, 82]],
    ['gpt-oss-20b', 32, 4, [7.5, 13, 21, 28]],
    ['Mixtral', 8, 2, [3.5, 5.5, 7.2, 7.9]],
  ])('%s: distinct experts of 2, 4, 8 and 16 tokens', (_, experts, topK, expected) => {
    const found = [2, 4, 8, 16].map((tokens) => evenTraffic(tokens, { experts, topK }).distinct);
    found.forEach((n, i) => expect(Math.abs(n - expected[i]!)).toBeLessThan(0.5));
    expect(evenTraffic(1, { experts, topK }).distinct).toBeCloseTo(topK, 9);
  });

  it.each([
    ['OLMoE', 64, 8, 1.12, 1.23],
    ['Qwen3-30B', 128, 8, 1.23, 1.46],
    ['gpt-oss-20b', 32, 4, 1.11, 1.23],
    ['Mixtral', 8, 2, 1.06, 1.12],
  ])('%s: tile rows issued a real row at 512 tokens, tiles of 16 and 32', (_, experts, topK, of16, of32) => {
    const { tiles, pairs } = evenTraffic(512, { experts, topK });
    expect((16 * tiles(16)) / pairs).toBeCloseTo(of16, 1);
    expect((32 * tiles(32)) / pairs).toBeCloseTo(of32, 1);
  });

  // Bytes a token at 4.5 bits for everything but the embedding and head, which keep 8.5.
  it.each([
    ['olmoe-1b-7b-0924-instruct', 0.67e9, 50304 * 2048],
    ['qwen3-30b-a3b', 1.73e9, 151936 * 2048],
    ['mixtral-8x7b-instruct-v0.1', 7.17e9, 32000 * 4096],
  ])('%s: %s bytes of weights a token', async (name, expected, head) => {
    const { token } = await sheetOf(hollowSource(published(name)), { weights: 'q4' });
    const found = totalCost(token(0)).weightBytes - (head * 4) / 8;
    expect(Math.abs(found / expected - 1)).toBeLessThan(0.01);
  });
});

describe('counted by hand', () => {
  const step = (tokens: number, position: number) => ({ tokens, position });

  it.each([
    [5, 0, null],
    [37, 100, null],
    [1, 299, 7],
    [37, 100, 50],
  ])('attention of %s tokens at %s with a window of %s', (tokens, position, window) => {
    const sizes = { KEY_SIZE: 24, VALUE_SIZE: 40, k_ROW: 24, v_ROW: 40 };
    const shape = { HEADS: 6, KV_HEADS: 3, ...sizes, WINDOW: window ?? 0x7fffffff, CHUNKED: false, SINKS: false };
    const seen = new Set<number>();
    let pairs = 0;
    for (let t = position; t < position + tokens; t++)
      for (let j = 0; j <= t; j++)
        if (window === null || j > t - window) {
          seen.add(j);
          pairs++;
        }
    for (const [shader, more] of [
      ['attention/attention_decode', { CHUNK: 128 }],
      ['attention/attention_prefill', { QUERIES: 32, SLICE: 24 }],
    ] as const) {
      const launch = { label: 'x', shader, constants: { ...shape, ...more }, grid: [1, 1, 1] as const };
      const cost = costOf({ ...launch, step: step(tokens, position) }, null);
      expect(cost.usefulFlops).toBe(2 * 6 * pairs * (24 + 40));
      expect(cost.kvBytes).toBe(4 * 3 * seen.size * (24 + 40));
      expect(cost.issuedFlops).toBeGreaterThanOrEqual(cost.usefulFlops);
    }
  });

  // A matvec of 16 lanes a row, 4 rows a workgroup: 70 rows take 18, 3 chunks take 16 lanes. A tile: 64 rows, 32 tokens.
  it.each([
    ['linear/matvec', { LANES: 16, ROWS_PER_LANE: 1, GAMMA: false, LAST: false }, 5, 5 * 72 * 16 * 32],
    ['linear/matvec', { LANES: 16, ROWS_PER_LANE: 1, GAMMA: true, LAST: true }, 5, 72 * 16 * 32],
    ['linear/matvec_few', { LANES: 16, ROWS_PER_LANE: 1, COLUMNS: 8, GAMMA: true }, 5, 5 * 72 * 16 * 32],
    ['linear/matmul', {}, 33, 64 * 128 * 96],
    ['linear/matvec_lane', { BLOCK: false, GAMMA: false, LAST: false }, 5, 5 * 128 * 96],
    ['linear/matvec_lane', { BLOCK: true, GAMMA: false, LAST: false }, 5, 8 * 128 * 96],
  ] as const)('%s with %o: useful and issued flops of %s tokens', (shader, more, tokens, issued) => {
    const format = { N: 70, K: 90, W_CHUNKS: 3, W_CHUNK_VEC4: 4, BIAS: true, RESIDUAL: false, ROW_SCALE: false };
    const launch = { label: 'x', shader, constants: { ...format, ...more }, grid: [1, 1, 1] as const };
    const cost = costOf({ ...launch, step: step(tokens, 0) }, null);
    const flags = more as { readonly LAST?: boolean; readonly GAMMA?: boolean };
    const rows = flags.LAST ? 1 : tokens;
    expect([cost.usefulFlops, cost.issuedFlops]).toEqual([2 * rows * 70 * 90, 2 * issued]);
    expect(cost.weightBytes).toBe(70 * 96 * 2 + 4 * 70 + (flags.GAMMA ? 4 * 90 : 0));
    expect(cost.activationBytes).toBe(4 * rows * (90 + 70));
  });

  it('experts: an idle one costs nothing, a tile is paid in eights of rows', () => {
    const traffic = countedTraffic([[0, 17, 0, 1, 16]]);
    expect([traffic.distinct, traffic.pairs, traffic.tiles(16), traffic.tiles(4)]).toEqual([3, 34, 4, 10]);
    const constants = { N: 130, K: 64, BM: 16, BIAS: false, W_CHUNKS: 2, W_CHUNK_VEC4: 4, TOP_K: 2 };
    const launch = { label: 'x', shader: 'moe/expert_up', constants, grid: [1, 1, 1] as const, step: step(17, 0) };
    const cost = costOf(launch, traffic);
    expect(cost.weightBytes).toBe(3 * 130 * 64 * 2);
    expect(cost.usefulFlops).toBe(2 * 34 * 130 * 64);
    expect(cost.issuedFlops).toBe(2 * (24 + 8 + 16) * 192 * 64);
  });

  it('two layers that differ cost what both cost', () => {
    const [a, b] = [
      [3, 0, 0, 5],
      [2, 2, 2, 2],
    ].map((rows) => countedTraffic([rows]));
    const both = countedTraffic([
      [3, 0, 0, 5],
      [2, 2, 2, 2],
    ]);
    expect(2 * both.distinct).toBe(a!.distinct + b!.distinct);
    expect(2 * both.tiles(4)).toBe(a!.tiles(4) + b!.tiles(4));
  });
});

describe('a prompt', () => {
  it('reads all weights once a chunk, and multiplies as many numbers as its tokens do one by one', async () => {
    const sheet = await ofFixture('families/mixtral', { prefillChunk: 64 });
    const whole = totalCost(sheet.prompt(64));
    const halves = totalCost((await ofFixture('families/mixtral', { prefillChunk: 32 })).prompt(64));
    expect(halves.weightBytes).toBeGreaterThan(1.8 * whole.weightBytes);
    const head = 2 * 64 * 256; // of the last token only
    const one = [...Array(64).keys()].map((position) => totalCost(sheet.token(position)).usefulFlops - head);
    const sum = one.reduce((a, b) => a + b, 0);
    const combined = 2 * 2 * 64 * 2 * 64; // layers, 2 a multiply-add, tokens, K, D: folded into `down` when a token runs alone
    expect(whole.usefulFlops - head - combined).toBe(sum);
    expect(paddingFactor(whole)).toBeGreaterThan(1);
  });

  it('with known routing costs what that routing costs', async () => {
    const sheet = await ofFixture('families/mixtral', { prefillChunk: 64 });
    const crowded = totalCost(sheet.prompt(64, () => countedTraffic([[64, 64, 0, 0, 0, 0, 0, 0]])));
    const even = totalCost(sheet.prompt(64, () => countedTraffic([Array<number>(8).fill(16)])));
    expect(even.weightBytes - crowded.weightBytes).toBe(2 * 6 * 3 * 64 * 96 * 2); // layers, experts more, matrices, bf16
  });
});

test('the floor: bytes, flops and launches, dispatch by dispatch', () => {
  const cost = { label: '', shader: '', workgroups: 1, kvBytes: 0, activationBytes: 0, usefulFlops: 0 };
  const costs = [
    { ...cost, weightBytes: 100, issuedFlops: 10 },
    { ...cost, weightBytes: 10, issuedFlops: 400 },
  ];
  const found = floorTime(costs, { bytesPerSecond: 100, launchSeconds: 0.5, flopsPerSecond: 100 });
  expect(found).toEqual({ memorySeconds: 1.1, computeSeconds: 4.1, launchSeconds: 1, seconds: 1 + 4 + 1 });
  expect(bytesOf(totalCost(costs))).toBe(110);
});
