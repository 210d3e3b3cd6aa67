/** Models in a worker and in this thread on `window`. */
import { load, WorkerLost, type LoadOptions, type Model } from '../../../src/index.ts';
import { cases } from './surface-cases.ts';

const SMALL: LoadOptions = { contextLength: 128, prefillChunk: 8, storage: null };

/** Typed arrays and sets as JSON has them, each with its class; not-a-number and infinities as words. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, inner: unknown) => {
      if (ArrayBuffer.isView(inner)) return { class: inner.constructor.name, values: [...(inner as Float32Array)] };
      if (inner instanceof Set) return { set: [...inner] };
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
