/** The worker's side: a model for each port that a page hands over. */
import { openBrowserStorage } from '../../engine/browser-storage.ts';
import { load, type LoadOptions } from '../../engine/load.ts';
import { WorkerLost } from '../../errors.ts';
import { holdLock, watchLock } from '../../util/alive.ts';
import { Host, type OpenEngine } from '../host.ts';
import type { ByteSource } from '../../weights/source.ts';
import { Peer } from '../port/peer.ts';
import { openAdapters, type WireAdapters } from '../adapters.ts';
import type { ModelState } from '../calls.ts';
import { isGreeting, PROTOCOL, type Greeting } from './greeting.ts';
import { receiveSource } from './receive-source.ts';
import type { WireSource } from './wire-source.ts';

/** The part of a worker's global that is used here; TypeScript's library for pages has none. */
interface WorkerScope {
  addEventListener(type: 'message' | 'connect', listener: (event: MessageEvent) => void): void;
}

/** Answers pages from now on, in a dedicated worker or a shared one. */
export function serveWorker(scope: WorkerScope = globalThis as unknown as WorkerScope): void {
  const receive = ({ data }: MessageEvent): void => {
    if (isGreeting(data)) void serve(data);
  };
  scope.addEventListener('message', receive);
  scope.addEventListener('connect', ({ ports: [port] }) => (port!.onmessage = receive));
}

/** `storage`: null, or absent for this browser's own. */
type WireOptions = Omit<LoadOptions, 'adapter' | 'adapters'> & WireAdapters & { readonly storage?: null };

async function serve({ port, workerLock, pageLock }: Greeting): Promise<void> {
  const release = await holdLock(workerLock);
  const open: OpenEngine = async (wire, options) => {
    const source = wire as WireSource;
    const { storage: wanted, adapter, adapters, ...rest } = options as WireOptions;
    const storage = wanted === undefined && source.kind === 'named' ? await openBrowserStorage(null) : wanted;
    const receive = (from: WireSource): Promise<ByteSource> =>
      receiveSource(from, peer, { storage, signal: rest.signal });
    const [bytes, added] = await Promise.all([receive(source), openAdapters({ adapter, adapters }, receive)]);
    return { model: await load(bytes, { ...rest, ...added, storage }), label: bytes.label };
  };
  const host = new Host(open);
  const watch = new AbortController();
  const { calls, ...rest } = host.handlers;
  const handlers = { calls: { ...calls, hello: () => PROTOCOL, goodbye: () => end() }, ...rest };
  const peer: Peer = new Peer(port, handlers, { changes: changesOf(() => host.state) });

  const end = (): void => {
    watch.abort();
    release();
    peer.close(new WorkerLost('The page has closed the model'));
    void host.dispose();
  };
  watchLock(pageLock, watch.signal, end);
}

/** Only when something is new: a plan is large, and most answers are tokens. */
function changesOf(state: () => ModelState | null): () => ModelState | undefined {
  let told: ModelState | null = null;
  return () => {
    const now = state();
    if (!now || (told && now.plan === told.plan && isSameKept(now.kept, told.kept))) return undefined;
    return (told = now);
  };
}

const isSameKept = (a: ModelState['kept'], b: ModelState['kept']): boolean =>
  a?.presentBytes === b?.presentBytes && a?.totalBytes === b?.totalBytes && a?.isComplete === b?.isComplete;
