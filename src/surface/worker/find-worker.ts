/** Which worker a model runs in: the one that was given, one of our own in whichever way starts here, or none. */
import { WorkerLost } from '../../errors.ts';
import type { Handlers } from '../connection.ts';
import type { Connected } from '../link.ts';
import { WorkerConnection, type AnyWorker } from './connect.ts';
import { startInlineWorker } from './start-inline.ts';
import { startWorker } from './start-worker.ts';

/** Where the engine runs: `auto`: a worker of its own where it can have one; false: this thread; or a worker that runs `webmoe/worker`. */
export type WorkerOption = 'auto' | false | AnyWorker | (() => AnyWorker);

/** A worker that cannot start says so at once; a slow link is no such thing. */
const START_MS = 10_000;

/** Pages have workers; Node has none of this kind, and who calls from a worker is in one already. */
export const hasWorkers = (): boolean => typeof Worker === 'function' && typeof document === 'object';

/** The caller's own worker. @throws WorkerLost when it does not answer */
export async function givenWorker(given: AnyWorker | (() => AnyWorker), handlers: Handlers): Promise<Connected> {
  const isOurs = typeof given === 'function';
  const worker = isOurs ? given() : given;
  return { connection: await WorkerConnection.open(worker, { handlers, isOurs, startMs: START_MS }), runsIn: 'worker' };
}

/** Whether a worker starts is known only when it answers. @returns null when none does, after one warning */
export async function ownWorker(handlers: Handlers): Promise<Connected | null> {
  const connect = (worker: Worker): Promise<WorkerConnection> =>
    WorkerConnection.open(worker, { handlers, isOurs: true, startMs: START_MS });
  const failures: unknown[] = [];
  try {
    return { connection: await connect(startWorker()), runsIn: 'worker' };
  } catch (error) {
    failures.push(error);
  }
  try {
    const inline = await startInlineWorker();
    if (!inline) throw new WorkerLost('This build has no inline worker');
    try {
      return { connection: await connect(inline.worker), runsIn: 'inline-worker' };
    } finally {
      inline.revoke();
    }
  } catch (error) {
    failures.push(error);
  }
  const reasons = failures.map((error) => (error instanceof Error ? error.message : String(error)));
  console.warn(
    `webmoe runs on the page's own thread, which may stutter: no worker could be started. See docs/worker.md. (${reasons.join(' / ')})`,
  );
  return null;
}
