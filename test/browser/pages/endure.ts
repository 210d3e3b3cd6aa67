/** One model in a counting worker, asked again and again, on `window`. */
import { load, type GenerateOptions, type Model } from '../../../src/index.ts';
import { trustedUrl } from '../../../src/util/trusted-url.ts';
import type { Counts } from './counting.ts';

/** Half of the experts fit, so that each answer also evicts some and reads others from the files that keep them. */
const OPTIONS = { contextLength: 128, prefillChunk: 8, expertsResident: 0.5 };

const PageWorker = Worker;
// The bundler wants to see `new Worker(new URL(…))`, the server's policy wants trusted addresses.
globalThis.Worker = class extends PageWorker {
  constructor(url: string | URL, options?: WorkerOptions) {
    super(url instanceof URL ? trustedUrl(url) : url, options);
  }
};

const start = (): Worker => new Worker(new URL('./endure-worker.ts', import.meta.url), { type: 'module' });

function ask(worker: Worker): Promise<Counts> {
  return new Promise((resolve) => {
    worker.addEventListener('message', ({ data }) => resolve(data as Counts), { once: true });
    worker.postMessage('counts');
  });
}

let worker: Worker | null = null;
let model: Model | null = null;

const opened = (): Model => {
  if (!model) throw new Error('no model is loaded');
  return model;
};

/** Of 9 to 24 ids: other ones each time. */
const promptOf = (n: number): { ids: number[] } => ({
  ids: Array.from({ length: 9 + (n % 16) }, (_, i) => (n * 31 + i * 7 + 3) % 256),
});
const optionsOf = (n: number): GenerateOptions => ({ maxTokens: 6, ignoreEnd: true, seed: n });

async function drain(n: number, more: GenerateOptions = {}): Promise<number> {
  let tokens = 0;
  for await (const token of opened().generate(promptOf(n), { ...optionsOf(n), ...more }))
    tokens += Number(token.id >= 0);
  return tokens;
}

/** What apps do, in turn. @returns tokens */
const KINDS: readonly ((n: number) => Promise<number>)[] = [
  (n) => drain(n),
  async (n) => {
    const messages = [{ role: 'user' as const, content: 'abcdefghijklmnop'.slice(n % 8) }];
    const request = { messages, seed: n, max_completion_tokens: 6, logprobs: true, top_logprobs: 2 };
    let chunks = 0;
    for await (const chunk of await opened().chat.completions.create({ ...request, stream: true }))
      chunks += chunk.choices.length;
    return chunks;
  },
  async (n) => {
    let tokens = 0;
    for await (const token of opened().generate(promptOf(n), optionsOf(n)))
      if ((tokens += Number(token.id >= 0)) === 3) break;
    return tokens;
  },
  async (n) => {
    const controller = new AbortController();
    const answer = opened().generate(promptOf(n), { ...optionsOf(n), signal: controller.signal });
    const { value } = await answer.next();
    controller.abort();
    await answer.return(undefined as never);
    return value === undefined ? 0 : 1;
  },
  async (n) => {
    let steps = 0;
    const stop = opened().onStep(() => steps++, 'ids');
    const tokens = await drain(n, { logitBias: { [n % 256]: 5 }, topLogprobs: 3 });
    stop();
    return Math.min(tokens, steps);
  },
];

export const endure = {
  async load(url: string): Promise<string | undefined> {
    worker = start();
    model = await load(url, { ...OPTIONS, worker });
    await model.settled();
    return (await model.expertStats())?.storage.kind;
  },
  /** @returns the tokens of each answer */
  async run(from: number, to: number): Promise<number[]> {
    const tokens: number[] = [];
    for (let n = from; n < to; n++) tokens.push(await KINDS[n % KINDS.length]!(n));
    return tokens;
  },
  counts: (): Promise<Counts> => ask(worker!),
  /** @returns what its worker holds afterwards */
  async dispose(): Promise<Counts['alive']> {
    await opened().dispose();
    return (await ask(worker!)).alive;
  },
  /** Loads, asks and disposes so many times in one worker that goes on. @returns what it held after each */
  async cycles(url: string, count: number): Promise<Counts['alive'][]> {
    const given = start();
    const held: Counts['alive'][] = [];
    for (let n = 0; n < count; n++) {
      const loaded = await load(url, { ...OPTIONS, worker: given });
      await loaded.generate(promptOf(n), optionsOf(n)).next();
      await loaded.settled();
      await loaded.dispose();
      held.push((await ask(given)).alive);
    }
    given.terminate();
    return held;
  },
};

declare global {
  interface Window {
    endure: typeof endure;
  }
}

window.endure = endure;
