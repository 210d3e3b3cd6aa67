/** `load` for pages: a model in a worker, or in this thread. */
import type { LoadOptions as EngineOptions } from '../engine/load.ts';
import { InvalidRequest } from '../errors.ts';
import { openAdapters, sendAdapters, together, type AdapterOptions } from './adapters.ts';
import { Link, type Connected, type OpenLink } from './link.ts';
import { Model } from './model.ts';
import { split } from './options.ts';
import { absolute } from './absolute.ts';
import { isRemote, type ModelSource } from '../engine/model-source.ts';
import type { ByteSource } from '../weights/source.ts';
import { isPageStorage, openStorage } from './page-storage.ts';
import { givenWorker, hasWorkers, ownWorker, type WorkerOption } from './worker/find-worker.ts';
import { sendSource } from './worker/wire-source.ts';

export interface SurfaceOptions {
  /** Default `auto`: in a worker, where this is a page that can start one; else, as with false, in this thread. */
  readonly worker?: WorkerOption | undefined;
  /**
   * Tokens that a worker may make before they are asked for. Default 0: each when the one before was taken, as in one thread. One or two keep the
   * GPU busy while the page is; a loop that is left early then leaves so many tokens more in the cache.
   */
  readonly tokensAhead?: number | undefined;
}

/** What the engine is asked, before its sources are open. */
interface AskedOptions extends Omit<EngineOptions, 'adapter' | 'adapters'>, AdapterOptions<ModelSource> {}

export interface LoadOptions extends AskedOptions, SurfaceOptions {}

/**
 * Loads a model. A model that comes over a network is kept in this browser's storage, unless `storage` says otherwise; null keeps nothing.
 * @throws DeviceCapability, InvalidCheckpoint, UnsupportedModel, OutOfBudget, SourceError; InvalidRequest for options that the given worker cannot
 *   have; WorkerLost when the given worker does not answer; the signal's reason when aborted
 */
export async function load(source: ModelSource, options: LoadOptions = {}): Promise<Model> {
  const { worker = 'auto', tokensAhead, ...rest } = options;
  if (tokensAhead !== undefined && !(Number.isInteger(tokensAhead) && tokensAhead >= 0))
    throw new InvalidRequest(`tokensAhead must be a whole number of at least 0, got ${tokensAhead}`, { tokensAhead });
  const from = absolute(source);
  const open: OpenLink = (why) => {
    if (why === 'restart' && typeof worker === 'object')
      throw new InvalidRequest(
        'The worker was given and is not ours to start again: load with a function that makes one',
      );
    return openLink(from, rest, worker);
  };
  return Model.open(open, { tokensAhead });
}

async function openLink(source: ModelSource, options: AskedOptions, worker: WorkerOption): Promise<Link> {
  options.signal?.throwIfAborted();
  const staysHere = await whyHere(options);
  const wantsWorker = worker !== false && (worker !== 'auto' || hasWorkers());
  if (staysHere && worker !== 'auto' && wantsWorker) throw new InvalidRequest(`${staysHere}: load with worker: false`);
  if (wantsWorker && !staysHere) {
    const link = await loadInWorker(source, options, worker);
    if (link) return link;
  }
  return Link.load(await here(), source, split(options));
}

/** Not at the top: a page whose engine is in a worker needs none of its own. */
async function here(): Promise<Connected> {
  const { connectHere, openSource } = await import('./here.ts');
  return connectHere(async (from, options) => {
    const source = from as ModelSource;
    const storage = options.storage === undefined && isRemote(source) ? await openStorage() : options.storage;
    const open = (at: ModelSource): Promise<ByteSource> => openSource(at, { storage, signal: options.signal });
    const [bytes, added] = await Promise.all([
      open(source),
      openAdapters(options as AdapterOptions<ModelSource>, (at) => open(absolute(at))),
    ]);
    return { bytes, options: { ...options, storage, ...added } };
  });
}

/** @returns null when no worker starts */
async function loadInWorker(
  source: ModelSource,
  { storage, adapter, adapters, ...rest }: AskedOptions,
  worker: WorkerOption,
): Promise<Link | null> {
  const { wire, handlers: own } = sendSource(source);
  const added = sendAdapters({ adapter, adapters });
  const handlers = together([own, ...added.handlers]);
  const options = { ...rest, ...added.wire };
  const connected =
    worker === 'auto' || worker === false ? await ownWorker(handlers) : await givenWorker(worker, handlers);
  // This browser's own storage is opened over there, too.
  return connected && Link.load(connected, wire, split(storage === null ? { ...options, storage } : options));
}

/** What cannot be handed to a worker, or null. */
async function whyHere({ gpu, storage }: AskedOptions): Promise<string | null> {
  if (gpu) return 'The option gpu cannot be sent to a worker';
  if (storage && !(await isPageStorage(storage))) return 'A storage of your own cannot be sent to a worker';
  return null;
}
