// Kernels against what bounds them, as ratios on one adapter: int4 products of one token against copying as many bytes, grouped products of many tokens
// against dense ones of as many rows, and what a Mixture of Experts adds around its products.
//   node bench/kernels.mjs [--tokens 512] [--hidden 1024] [--width 512] [--experts 32] [--top-k 4] [--rounds 5] [--kernels gpu|software] [--only REGEX of cases]
// Time is the processor's on a software adapter, where other programs then do not count, and the clock's on a GPU. Cases take turns; the least of the rounds counts.
import { parseArgs } from 'node:util';
import { fromSource } from './modules.mjs';

const { values } = parseArgs({
  options: {
    tokens: { type: 'string', default: '512' },
    hidden: { type: 'string', default: '1024' },
    width: { type: 'string', default: '512' },
    experts: { type: 'string', default: '32' },
    'top-k': { type: 'string', default: '4' },
    rounds: { type: 'string', default: '5' },
    kernels: { type: 'string', default: 'gpu' },
    only: { type: 'string', default: '.' },
  },
});
const [TOKENS, HIDDEN, WIDTH, EXPERTS, TOP_K] = ['tokens', 'hidden', 'width', 'experts', 'top-k'].map(
  (k) => +values[k],
);
const TILE_ROWS = (TOKENS * TOP_K) / EXPERTS > 20 ? 32 : 16;
const ROUNDS = Number(values.rounds);
/** Rows of the matrix whose product with one token is measured: 18.9 MB with K = 1024, more than caches hold. */
const GEMV_ROWS = 32768;
const INT4 = { kind: 'int', bits: 4, group: 32, scale: 'f16', zeros: false };
/** As f16, bf16 and f32 a small number, as int4 any: no code that a processor takes longer for. */
const PATTERN = 0x2c2c2c2c;

const engine = await fromSource('kernels', [
  'gpu/open.ts',
  'gpu/recording.ts',
  'gpu/step.ts',
  'gpu/buffer.ts',
  'node.ts',
  'moe/slots.ts',
  'kernels/moe/route.ts',
  'kernels/moe/router_block.ts',
  'kernels/moe/group.ts',
  'kernels/moe/expert_up.ts',
  'kernels/moe/expert_down.ts',
  'kernels/moe/combine.ts',
  'kernels/linear/linear.ts',
  'weights/layout.ts',
  'util/prng.ts',
]);
const { openGpu, Recorder, STEP_BYTES, writeStep, wholeBuffer, openDawn, prng } = engine;

const gpu = await openGpu({ gpu: await openDawn(), kernels: values.kernels });
const { adapter } = gpu.facts;

function buffer(name, bytes, words) {
  const view = wholeBuffer(gpu.createBuffer(name, 'activations', bytes));
  gpu.write(view, words ?? new Uint32Array(view.size / 4).fill(PATTERN));
  return view;
}

/** Without a pattern, so that tokens choose their experts as if by chance. */
const noise = prng(1);
const floats = (name, count) =>
  buffer(
    name,
    4 * count,
    Float32Array.from({ length: count }, () => noise() - 0.5),
  );

const step = wholeBuffer(gpu.createBuffer('step', 'activations', STEP_BYTES, globalThis.GPUBufferUsage.UNIFORM));

/** @returns runs it once, to its end */
async function program(tokens, record, on = gpu) {
  const recorder = new Recorder(on, step);
  record(recorder);
  const ready = await recorder.finish();
  return async () => {
    gpu.write(step, new Uint8Array(writeStep(new ArrayBuffer(STEP_BYTES), tokens, 0)));
    const encoder = gpu.device.createCommandEncoder();
    ready.encode(encoder, { tokens, position: 0 });
    gpu.submit(encoder.finish());
    await gpu.idle();
  };
}

const now = adapter.isFallback
  ? () => Object.values(process.cpuUsage()).reduce((a, b) => a + b, 0) / 1e6
  : () => performance.now() / 1e3;

/** The least of the rounds, in which all cases take turns. */
async function times(cases) {
  const least = Object.fromEntries(Object.keys(cases).map((name) => [name, Infinity]));
  for (let round = 0; round <= ROUNDS; round++)
    for (const [name, run] of Object.entries(cases)) {
      const start = now();
      await run();
      if (round > 0) least[name] = Math.min(least[name], now() - start); // the first is for caches
    }
  return least;
}

function matrix(rows, cols) {
  const { bytes } = engine.planes(INT4, { rows, cols });
  return { view: buffer(`${rows} x ${cols}`, bytes), layout: INT4, rows, cols };
}

const slot = engine.slotLayout({ hidden: HIDDEN, width: WIDTH, gateUp: INT4, down: INT4, bias: false });
const block = engine.routerBlock({
  ...{ hidden: HIDDEN, experts: EXPERTS, layout: { kind: 'f32' } },
  ...{ normBias: false, logitBias: false, selectionBias: false, sharedGate: false },
});
const router = { score: 'softmax', logitBias: false, selectionBias: false, groups: null, renormalize: null, scale: 1 };
const pairs = TOKENS * TOP_K;
const x = floats('x', TOKENS * HIDDEN);
const io = {
  x,
  router: floats('router', block.bytes / 4),
  normed: floats('normed', TOKENS * HIDDEN),
  routed: buffer('routed', engine.routedBytes(TOKENS, TOP_K)),
  pairOfRow: buffer('pair of row', 4 * pairs),
  rowOfPair: buffer('row of pair', 4 * pairs),
  tiles: buffer('tiles', 16 * (1 + engine.tileBound(pairs, EXPERTS, TILE_ROWS))),
  counts: buffer('counts', 4 * EXPERTS),
  arena: buffer('arena', EXPERTS * slot.bytes),
  slotTable: buffer(
    'slots',
    4 * EXPERTS,
    Uint32Array.from({ length: EXPERTS }, (_, e) => e),
  ),
  act: buffer('act', 4 * pairs * WIDTH),
  y: buffer('y', 4 * pairs * HIDDEN),
  residual: floats('residual', TOKENS * HIDDEN),
  out: buffer('out', 4 * TOKENS * HIDDEN),
};
const shape = {
  experts: EXPERTS,
  topK: TOP_K,
  slot,
  activation: { kind: 'silu' },
  tileRows: TILE_ROWS,
  hidden: HIDDEN,
};

const large = matrix(GEMV_ROWS, HIDDEN);
const copied = buffer('copy', large.view.size);
const denseUp = matrix(2 * WIDTH, HIDDEN);
const denseDown = matrix(HIDDEN, WIDTH);
const rowsIn = floats('rows', pairs * HIDDEN);
const rowsMiddle = buffer('middle', 4 * pairs * 2 * WIDTH);
const rowsOut = buffer('rows out', 4 * pairs * HIDDEN);
const vector = floats('vector', HIDDEN);
const product = buffer('product', 4 * GEMV_ROWS);

/** The variants of kernels that this adapter can run: see docs/performance-variants.md. */
const has = (feature) => gpu.facts.features.has(feature);
const without = new Set([...gpu.facts.features].filter((name) => name !== 'subgroups'));
const variants = {
  plain: { features: without },
  ...(has('subgroups') && { subgroups: {} }),
  ...(has('shader-f16') && { f16: { arithmetic: 'f16' } }),
  int8: { arithmetic: 'int8' },
};
const wanted = new RegExp(values.only);
const chosen = (programs) => Object.entries(programs).filter(([name]) => wanted.test(name));
const f16 = has('shader-f16') ? gpu.share({ ...gpu.facts, arithmetic: 'f16' }) : null;
const gemv = (facts) => () =>
  program(
    1,
    (r) => engine.linear(r, 'gemv', { x: vector, weights: large, out: product }, { phase: 'decode' }),
    gpu.share({ ...gpu.facts, ...facts }),
  );

const grouped = (on) =>
  program(
    TOKENS,
    (r) => {
      engine.expertUp(r, 'up', { ...io, x: io.normed }, shape);
      engine.expertDown(r, 'down', io, shape);
    },
    on,
  );
const dense = (on) =>
  program(
    pairs,
    (r) => {
      engine.linear(r, 'up', { x: rowsIn, weights: denseUp, out: rowsMiddle }, { phase: 'prefill' });
      const down = { phase: 'prefill', xRow: 2 * WIDTH };
      engine.linear(r, 'down', { x: rowsMiddle, weights: denseDown, out: rowsOut }, down);
    },
    on,
  );

const programs = {
  copy: () => program(1, (r) => r.copy('copy', () => ({ from: large.view, to: copied, bytes: large.view.size }))),
  ...Object.fromEntries(Object.entries(variants).map(([name, facts]) => [`gemv ${name}`, gemv(facts)])),
  around: () =>
    program(TOKENS, (r) => {
      engine.route(r, 'route', io, { block, topK: TOP_K, router, eps: 1e-5 });
      engine.group(r, 'group', io, shape);
      engine.combine(r, 'combine', io, shape);
    }),
  grouped: () => grouped(gpu),
  dense: () => dense(gpu),
  ...(f16 && { 'grouped f16': () => grouped(f16), 'dense f16': () => dense(f16) }),
};
const cases = {};
for (const [name, make] of chosen(programs)) cases[name] = await make();
const least = await times(cases);
const [tiles] = new Uint32Array(await gpu.read(io.tiles)); // once `around` has run
const products = 2 * pairs * 3 * HIDDEN * WIDTH;
const seconds = (s) => `${(1000 * s).toFixed(1)} ms`;
const percent = (ratio) => `${(100 * ratio).toFixed(1)} %`;
const rate = (bytes, s) => `${(bytes / s / 1e9).toFixed(2)} GB/s`;

console.log(`${adapter.description || adapter.vendor}; time of the ${adapter.isFallback ? 'processor' : 'clock'}`);
console.log(`${TOKENS} tokens, ${EXPERTS} experts, ${TOP_K} each, D ${HIDDEN}, F ${WIDTH}, int4 in groups of 32`);
const lines = {
  // A copy reads and writes: twice its bytes.
  copy: () =>
    `copy of ${(large.view.size / 1e6).toFixed(1)} MB: ${seconds(least.copy)}, ${rate(2 * large.view.size, least.copy)}`,
  ...Object.fromEntries(
    Object.keys(variants).map((name) => [
      `gemv ${name}`,
      () => {
        const s = least[`gemv ${name}`];
        return `q4 GEMV over as many, ${name}: ${seconds(s)}, ${rate(large.view.size, s)}: ${percent(least.copy / 2 / s)} of the copy's bandwidth`;
      },
    ]),
  ),
  dense: () =>
    `dense GEMM of ${pairs} rows: ${seconds(least.dense)}, ${(products / least.dense / 1e9).toFixed(2)} GFLOP/s`,
  grouped: () =>
    `grouped GEMM: ${seconds(least.grouped)}: ${percent(least.dense / least.grouped)} of the dense one's speed\n` +
    `  its tiles of ${TILE_ROWS} rows have room for ${((tiles * TILE_ROWS) / pairs).toFixed(2)} times the rows`,
  ...(f16 &&
    Object.fromEntries(
      ['dense', 'grouped'].map((name) => [
        `${name} f16`,
        () =>
          `${name} GEMM in f16: ${seconds(least[`${name} f16`])}: ${(least[name] / least[`${name} f16`]).toFixed(2)} times as fast`,
      ]),
    )),
  around: () =>
    `route, group, combine: ${seconds(least.around)}: ${percent(least.around / (least.around + least.grouped))} of the layer`,
};
for (const [, line] of chosen(lines)) console.log(line());
process.exit(0);
