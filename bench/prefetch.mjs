// How well a layer's input tells what the next layer will choose, and what fetching those experts ahead is worth.
//   node bench/prefetch.mjs [--model DIR] [--tokens N] [--recording FILE.json] [--json]
// First N tokens are decoded on this machine, and for each layer both what was predicted and what was chosen is noted (in FILE, to be read again by the
// next run). Then two things that need no GPU: a replay of both over links of a chosen speed, and the engine's own store with its governor, run in a
// time of its own in which a layer computes for 1 ms and an expert arrives when the link has carried it.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { fromSource, root } from './modules.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: join(root, 'models/smolmoe-135m-instruct') },
    tokens: { type: 'string', default: '64' },
    recording: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const PROMPT = 'Tell me a story about a fox who wanted to learn to read.';
const SHARES = [0.5, 0.25];
const LINKS = [1, 4, 16];
/** Slots are empty at first: so many tokens are not counted. */
const WARM_UP = 8;

const modules = await fromSource('prefetch', [
  'engine/load.ts',
  'cli/load-engine.ts',
  'engine/step-record.ts',
  'engine/visit-log.ts',
  'engine/routing.ts',
  'trace/replay.ts',
  'trace/prefetch-replay.ts',
  'policy/index.ts',
  'moe/store.ts',
]);
const { load, StepRecord, VisitLog, distinct, sharesOf, replay, replayPrefetch, createPolicy, ExpertStore } = modules;

/** @returns by token and layer: experts and weights chosen, and those predicted */
async function record() {
  const model = await load(values.model, {
    expertsResident: 0.5,
    mode: 'lockstep',
    contextLength: 512,
    collect: false,
  });
  const tokens = [];
  const { finish } = StepRecord.prototype;
  StepRecord.prototype.finish = function () {
    finish.call(this);
    if (this.phase !== 'decode') return;
    tokens.push(
      this.layers.map(({ ids, weights }, layer) => ({
        ids: [...ids],
        weights: [...weights],
        predicted: [...(this.predictions[layer] ?? [])],
      })),
    );
  };
  const options = { temperature: 0.7, seed: 1, ignoreEnd: true, maxTokens: 1 + Number(values.tokens) };
  for await (const token of model.generate([{ role: 'user', content: PROMPT }], options)) void token;
  const stats = model.expertStats();
  await model.dispose();
  return {
    prediction: stats.layers.map((layer) => layer.prediction && { ...layer.prediction, overlap: layer.overlap }),
    experts: stats.layers[0].experts,
    tokens,
  };
}

const { recording } = values;
const isKept = recording && existsSync(recording);
const { prediction, experts, tokens } = isKept ? JSON.parse(readFileSync(recording, 'utf8')) : await record();
if (recording && !isKept) writeFileSync(recording, JSON.stringify({ prediction, experts, tokens }));
const layers = tokens[0].length;

function visits() {
  const log = new VisitLog(Infinity);
  for (const token of tokens) {
    const step = new StepRecord(layers, { phase: 'decode', position: 0, tokens: 1 }, true);
    token.forEach(({ ids, weights }, layer) =>
      step.layer(layer, { ids, weights, brought: ids.map((expert) => ({ expert, origin: 'slot', bytes: 0 })) }),
    );
    log.add(step);
  }
  const expertBytes = new Array(layers).fill(1);
  return log.visits({ name: 'recording', layers, experts, topK: tokens[0][0].ids.length, expertBytes });
}

/** A time that passes when nothing else is left to do. */
class Clock {
  now = 0;
  #waiting = [];

  sleep(ms, signal) {
    return new Promise((resolve, reject) => {
      const entry = { at: this.now + ms, resolve };
      this.#waiting.push(entry);
      signal?.addEventListener('abort', () => {
        this.#waiting = this.#waiting.filter((w) => w !== entry);
        reject(signal.reason);
      });
    });
  }

  async run(work) {
    let isDone = false;
    const result = work.finally(() => (isDone = true));
    for (;;) {
      await setImmediate();
      if (isDone) return result;
      const next = this.#waiting.reduce((a, b) => (b.at < a.at ? b : a));
      this.#waiting = this.#waiting.filter((w) => w !== next);
      this.now = next.at;
      next.resolve();
    }
  }
}

/** A link that carries one expert after the other, in the order in which they were asked for. */
class Link {
  #queue = [];
  #isBusy = false;
  constructor(clock, ms) {
    this.clock = clock;
    this.ms = ms;
  }

  carry(signal) {
    return new Promise((resolve, reject) => {
      const entry = { resolve, reject, signal };
      this.#queue.push(entry);
      signal.addEventListener('abort', () => {
        if (!this.#queue.includes(entry)) return; // under way: it arrives
        this.#queue = this.#queue.filter((e) => e !== entry);
        reject(signal.reason);
      });
      void this.#next();
    });
  }

  async #next() {
    if (this.#isBusy || this.#queue.length === 0) return;
    this.#isBusy = true;
    const { resolve } = this.#queue.shift();
    await this.clock.sleep(this.ms);
    this.#isBusy = false;
    resolve({ tier: 'disk', bytes: 1 });
    void this.#next();
  }
}

/** Lockstep as the stepper runs it, on the engine's store. */
async function live(slots, loadMs, isGuessing) {
  const clock = new Clock();
  const { now } = performance;
  performance.now = () => clock.now;
  try {
    const link = new Link(clock, loadMs);
    const counts = new Array(layers).fill(experts);
    const store = new ExpertStore({
      homes: { slotView: () => ({}), setSlot: () => undefined },
      experts: counts,
      arenas: [{ layers: counts.map((_, l) => l), slots }],
      policy: createPolicy('next-use', { layers, experts }),
      fill: (layer, expert, slot, signal) => link.carry(signal),
    });
    const sum = { stallMs: 0, misses: 0, guesses: 0, tokens: 0 };
    const step = async (token, isCounted) => {
      const startedAt = clock.now;
      const before = store.governor.stats.issued;
      for (const [layer, routing] of token.entries()) {
        await clock.sleep(1);
        const chosen = distinct(routing.ids);
        store.dropGuesses(layer, (e) => chosen.includes(e));
        store.policy.visit(layer, chosen, sharesOf(chosen, { ids: routing.ids, weights: routing.weights }));
        const since = clock.now;
        const brought = await store.bring(layer, chosen, { atLayer: layer, isKept: () => false });
        if (isCounted) {
          sum.stallMs += clock.now - since;
          sum.misses += brought.filter((b) => b.bytes > 0).length;
        }
        const predicted = token[layer + 1]?.predicted ?? [];
        const stays = (l, e) => (l === layer && chosen.includes(e)) || (l === layer + 1 && predicted.includes(e));
        let left = isGuessing ? store.governor.width : 0;
        for (const expert of predicted) {
          if (left === 0) break;
          if (store.guess(layer + 1, expert, { atLayer: layer, isKept: stays })) left--;
        }
      }
      store.endStep(clock.now - startedAt);
      if (!isCounted) return;
      sum.tokens++;
      sum.guesses += store.governor.stats.issued - before;
    };
    const all = async () => {
      for (const [t, token] of tokens.entries()) await step(token, t >= WARM_UP);
    };
    await clock.run(all());
    const { useful, issued } = store.governor.stats;
    const per = (n) => n / sum.tokens;
    return {
      stallMs: per(sum.stallMs),
      misses: per(sum.misses),
      guesses: per(sum.guesses),
      useful: issued ? useful / issued : null,
    };
  } finally {
    performance.now = now;
  }
}

const seen = visits();
const guess = (visit) => tokens[Math.floor(visit / layers)][visit % layers].predicted;
const replays = [];
const stores = [];
for (const share of SHARES) {
  const slots = Math.round(share * layers * experts);
  const options = { policy: 'next-use', capacity: { slots } };
  const demand = replay(seen, options).decodeLoadsPerToken;
  for (const link of LINKS) {
    const [never, always, governed] = ['never', 'always', {}].map((governor) =>
      replayPrefetch(seen, { ...options, link, guess, governor }),
    );
    replays.push({ share, link, demand, never, always, governed });
    const loadMs = layers / (link * demand);
    const [without, withGuesses] = [await live(slots, loadMs, false), await live(slots, loadMs, true)];
    stores.push({ share, link, without, with: withGuesses });
  }
}

if (values.json) {
  console.log(JSON.stringify({ prediction, replays, stores }, null, 2));
} else {
  const percent = (x) => (x === null ? '' : `${(100 * x).toFixed(0)} %`);
  console.log(`${tokens.length} tokens of the shipped model\n`);
  console.log('| layer | recall, best K | recall, K + 2 | precision, K + 2 | overlap with the token before |');
  console.log('|---|---|---|---|---|');
  prediction.forEach((p, layer) => {
    if (p)
      console.log(
        `| ${layer} | ${percent(p.recall)} | ${percent(p.wideRecall)} | ${percent(p.widePrecision)} | ${percent(p.overlap)} |`,
      );
  });
  const known = prediction.filter((p) => p !== null);
  const mean = (key) => percent(known.reduce((n, p) => n + p[key], 0) / known.length);
  console.log(`| mean | ${['recall', 'wideRecall', 'widePrecision', 'overlap'].map(mean).join(' | ')} |\n`);
  console.log('Replay: time waited a token, in layers.\n');
  console.log('| slots | link | loads a token | no guesses | all guesses | governor | its guesses | useful |');
  console.log('|---|---|---|---|---|---|---|---|');
  for (const { share, link, demand, never, always, governed } of replays) {
    const figures = [never, always, governed].map((r) => r.stallTime.toFixed(1)).join(' | ');
    const useful = governed.guessedLoads ? percent(governed.usefulRatio) : '';
    console.log(
      `| ${percent(share)} | ${link} x | ${demand.toFixed(1)} | ${figures} | ${governed.guessedLoads.toFixed(1)} | ${useful} |`,
    );
  }
  console.log("\nThe engine's store, a layer computing for 1 ms: ms waited a token.\n");
  console.log('| slots | link | no guesses | governor | loads waited for | with guesses | guesses | useful |');
  console.log('|---|---|---|---|---|---|---|---|');
  for (const { share, link, without, with: w } of stores) {
    console.log(
      `| ${percent(share)} | ${link} x | ${without.stallMs.toFixed(1)} | ${w.stallMs.toFixed(1)} | ${without.misses.toFixed(1)} | ` +
        `${w.misses.toFixed(1)} | ${w.guesses.toFixed(1)} | ${percent(w.useful)} |`,
    );
  }
}
