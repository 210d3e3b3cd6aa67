/** Models in a worker and in this thread on `window`. */
import { trustedUrl } from '../../../src/util/trusted-url.ts';
import { filesSource, load, WorkerLost, type LoadOptions, type Model } from '../../../src/index.ts';
import { SMALL, tokens } from './package.ts';
import { cases } from './surface-cases.ts';

/** Typed arrays and sets as JSON has them, each with its class; not-a-number and infinities as words. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, inner: unknown) => {
      if (ArrayBuffer.isView(inner)) return { class: inner.constructor.name, values: [...(inner as Float32Array)] };
      if (inner instanceof Set) return { set: [...(inner as Set<string>)].sort() };
      return typeof inner === 'number' && !Number.isFinite(inner) ? String(inner) : inner;
    }) ?? 'null',
  );
}

/** Errors that nobody caught, of listeners. */
const uncaught: string[] = [];
addEventListener('error', (event) => {
  uncaught.push(event.message);
  event.preventDefault();
});

/** Workers that were started and not terminated, and ports that were made and not closed. */
const alive = { workers: new Set<Worker>(), ports: new Set<MessagePort>() };
const { terminate } = Worker.prototype as { terminate: (this: Worker) => void };
const PageWorker = Worker;
globalThis.Worker = class extends PageWorker {
  constructor(url: string | URL, options?: WorkerOptions) {
    super(url instanceof URL ? trustedUrl(url) : url, options); // the server's policy wants trusted addresses
    alive.workers.add(this);
  }
  override terminate(): void {
    alive.workers.delete(this);
    terminate.call(this);
  }
};
const PageSharedWorker = SharedWorker;
globalThis.SharedWorker = class extends PageSharedWorker {
  constructor(url: string | URL, options?: string | WorkerOptions) {
    super(url instanceof URL ? trustedUrl(url) : url, options);
  }
};
const PageChannel = MessageChannel;
globalThis.MessageChannel = class extends PageChannel {
  constructor() {
    super();
    alive.ports.add(this.port1);
    const { close } = this.port1 as { close: (this: MessagePort) => void };
    this.port1.close = () => {
      alive.ports.delete(this.port1);
      close.call(this.port1);
    };
  }
};

/** What the next deaths are of. */
let crashing: Worker | null = null;
const crashingWorker = (): Worker =>
  (crashing = new Worker(new URL('./worker-crash.ts', import.meta.url), { type: 'module' }));

interface Death {
  readonly ends: readonly Ending[];
  readonly lost: string;
  readonly later: unknown;
  readonly same: boolean;
}
interface Ending {
  readonly code: unknown;
  readonly isLost: boolean;
  readonly ms: number;
}

/** The name and code of what an action ends with, and after how many milliseconds. */
async function ending(action: Promise<unknown>, since: number): Promise<Ending> {
  const error = await action.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  return {
    code: (error as WorkerLost | null)?.code,
    isLost: error instanceof WorkerLost,
    ms: performance.now() - since,
  };
}

async function drawn(model: Model): Promise<number[]> {
  const ids: number[] = [];
  const options = { temperature: 0, maxTokens: 4, ignoreEnd: true };
  for await (const { id } of model.generate({ ids: [3, 1, 4] }, options)) ids.push(id);
  return ids;
}

/** One of each side, for the cases that need none of their own. */
const models = new Map<'auto' | false, Promise<Model>>();

export const surface = {
  cases: Object.keys(cases),
  uncaught,
  runsIn: async (url: string, worker: 'auto' | false): Promise<string> => (await shared(url, worker)).runsIn,
  /** A case's outcome as plain data. */
  run: async (name: string, url: string, worker: 'auto' | false): Promise<unknown> => {
    const own = (options: LoadOptions = {}): Promise<Model> => load(url, { ...SMALL, ...options, worker });
    return plain(await cases[name]!(await shared(url, worker), own));
  },
  /** Ends the worker in mid-answer, while others wait, and starts another. */
  async death(url: string, how: 'terminate' | 'crash' | 'close'): Promise<Death> {
    const model = await load(url, { ...SMALL, worker: crashingWorker });
    const ids = [3, 1, 4, 1, 5];
    const answer = model.generate({ ids }, { maxTokens: 60, ignoreEnd: true, seed: 1 });
    const first = (await answer.next()).value;
    // The answer that nobody reads on keeps these waiting.
    const waiting = [model.generate({ ids }, { maxTokens: 5 }).next(), model.logits(ids)];
    const since = performance.now();
    const ends = Promise.all(waiting.map((action) => ending(action, since)));
    if (how === 'terminate') crashing!.terminate();
    else crashing!.postMessage(how);
    await ends;
    const read = await ending(answer.next(), since);
    const lost = await model.lost;
    const later = await ending(model.expertStats(), performance.now());
    await model.restart();
    const again = await model.generate({ ids }, { maxTokens: 3, ignoreEnd: true, seed: 1 }).next();
    const same = JSON.stringify(again.value) === JSON.stringify(first);
    await model.dispose();
    return { ends: [...(await ends), read], lost: lost.reason, later: later.code, same };
  },
  /** Loads and disposes so many times. @returns what is left */
  async cycles(url: string, count: number): Promise<object> {
    const before = { workers: alive.workers.size, ports: alive.ports.size };
    for (let i = 0; i < count; i++) await (await load(url, SMALL)).dispose();
    // A worker that was terminated lives for a moment more.
    const locks = async (): Promise<number> => {
      const { held = [], pending = [] } = await navigator.locks.query();
      return [...held, ...pending].filter(({ name }) => name?.startsWith('webmoe-')).length;
    };
    for (let tries = 0; tries < 100 && (await locks()) > 0; tries++)
      await new Promise((resolve) => setTimeout(resolve, 50));
    return {
      workers: alive.workers.size - before.workers,
      ports: alive.ports.size - before.ports,
      locks: await locks(),
    };
  },
  tokens,
  /** A model of this tab's own in the worker that the tabs share; it stays loaded. */
  async inSharedWorker(url: string): Promise<{ readonly ids: readonly number[]; readonly runsIn: string }> {
    const worker = new SharedWorker(new URL('../../../src/worker.ts', import.meta.url), {
      type: 'module',
      name: 'webmoe-shared',
    });
    const model = await load(url, { ...SMALL, worker });
    return { ids: await drawn(model), runsIn: model.runsIn };
  },
  /** The first token from files, from a source of this page's own, and from a worker that serves two models. */
  async otherSources(url: string, names: readonly string[]): Promise<object> {
    const blobs = await Promise.all(
      names.map(async (name) => new File([await (await fetch(url + name)).blob()], name)),
    );
    const byName = new Map(blobs.map((file): [string, File] => [file.name, file]));
    const own = filesSource(byName, 'of the page');
    const worker = crashingWorker();
    const one = await load(blobs, { ...SMALL, worker });
    const two = await load(own, { ...SMALL, worker });
    const ask = async (model: Model): Promise<number> => {
      const token = await model.generate({ ids: [3, 1, 4] }, { temperature: 0, maxTokens: 1, ignoreEnd: true }).next();
      await model.dispose();
      return (token.value as { id: number }).id;
    };
    const [files, source] = [
      [await ask(one), one.id],
      [await ask(two), two.id],
    ];
    worker.terminate();
    return { files, source };
  },
  load: (url: string, options: LoadOptions = {}): Promise<Model> => load(url, { ...SMALL, ...options }),
  WorkerLost,
};

function shared(url: string, worker: 'auto' | false): Promise<Model> {
  const model = models.get(worker) ?? load(url, { ...SMALL, worker });
  models.set(worker, model);
  return model;
}

declare global {
  interface Window {
    surface: typeof surface;
  }
}

window.surface = surface;
