// What recording costs: time of the processor a token for what the engine notes of each step, without a listener and with one of either level.
//   node bench/recording.mjs [--tokens N] [--json]
// Records are made up, in the sizes of two published models: what each costs does not depend on the GPU. Compared with a token of 10 ms, a fast one.
import { parseArgs } from 'node:util';
import { fromSource } from './modules.mjs';

const { values } = parseArgs({
  options: { tokens: { type: 'string', default: '4000' }, json: { type: 'boolean', default: false } },
});
const TOKENS = Number(values.tokens);
const TOKEN_MS = 10;
const SHAPES = [
  { name: 'OLMoE-1B-7B: 16 layers, 8 of 64 experts', layers: 16, experts: 64, topK: 8 },
  { name: 'Qwen3-30B-A3B: 48 layers, 8 of 128 experts', layers: 48, experts: 128, topK: 8 },
];
const LEVELS = ['none', 'counts', 'ids'];

const { ExpertMonitor, StepRecord, distinct, prng } = await fromSource('recording', [
  'engine/expert-monitor.ts',
  'engine/step-record.ts',
  'engine/routing.ts',
  'util/prng.ts',
]);

/** Routings of a few tokens, as views of what was read back. */
function routings({ layers, experts, topK }) {
  const u = prng(1);
  return Array.from({ length: 16 }, () =>
    Array.from({ length: layers }, () => {
      const ids = new Set();
      while (ids.size < topK) ids.add(Math.floor(experts * u()));
      const predicted = Uint32Array.from([...ids, 0, 1]);
      return { ids: Uint32Array.from(ids), weights: new Float32Array(topK).fill(1 / topK), predicted };
    }),
  );
}

/** As the stepper does it: of a complete store only what somebody listens to, of another one everything. */
function note(monitor, routing, isComplete, position) {
  const record = new StepRecord(routing.length, { phase: 'decode', position, tokens: 1 }, monitor.isWatched());
  record.mode = isComplete ? 'resident' : 'optimistic';
  if (record.isWanted) {
    routing.forEach(({ ids, weights, predicted }, layer) => {
      const brought = distinct(ids).map((expert) => ({ expert, origin: 'slot', bytes: 0 }));
      record.layer(layer, { ids, weights, brought });
      if (!isComplete) record.predict(layer + 1, predicted);
    });
  }
  record.finish();
  monitor.add(record);
}

/** @returns microseconds of the processor a token: the least of a few runs, the others had other work in them */
function measure(shape, isComplete, level) {
  const store = { experts: Array.from({ length: shape.layers }, () => shape.experts), isComplete };
  const monitor = new ExpertMonitor(store, { verdict: isComplete ? 'fits' : 'streams' }, {});
  let heard = 0;
  if (level !== 'none') monitor.listen((event) => (heard += event.layers.length), level);
  const tokens = routings(shape);
  let least = Infinity;
  for (let run = 0; run < 6; run++) {
    const before = process.cpuUsage();
    for (let t = 0; t < TOKENS; t++) note(monitor, tokens[t % tokens.length], isComplete, t);
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, (user + system) / TOKENS);
  }
  return least;
}

const rows = SHAPES.flatMap((shape) =>
  [true, false].map((isComplete) => {
    const [none, counts, ids] = LEVELS.map((level) => measure(shape, isComplete, level));
    return { model: shape.name, experts: isComplete ? 'all on the GPU' : 'some missing', none, counts, ids };
  }),
);
if (values.json) console.log(JSON.stringify(rows, null, 2));
else {
  console.log(`| model | experts | no listener | counts | ids | counts, more of ${TOKEN_MS} ms | ids |`);
  console.log('|---|---|---|---|---|---|---|');
  const us = (x) => `${x.toFixed(0)} µs`;
  for (const { model, experts, none, counts, ids } of rows) {
    const more = (x) => `${((100 * Math.max(0, x - none)) / (1000 * TOKEN_MS)).toFixed(2)} %`;
    console.log(
      `| ${model} | ${experts} | ${us(none)} | ${us(counts)} | ${us(ids)} | ${more(counts)} | ${more(ids)} |`,
    );
  }
}
