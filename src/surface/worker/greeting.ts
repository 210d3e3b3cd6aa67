/** The first message to a worker: the port over which everything else goes, so that one worker can serve several models. */
import { WorkerLost } from '../../errors.ts';

/** Raised when the two sides of another version would not understand each other. */
export const PROTOCOL = 2;

export interface Greeting {
  readonly webmoe: number;
  readonly port: MessagePort;
  /** Names of the locks that the worker and the page hold while they live. */
  readonly workerLock: string;
  readonly pageLock: string;
}

export const isGreeting = (data: unknown): data is Greeting =>
  typeof data === 'object' && data !== null && 'webmoe' in data && 'port' in data;

export function checkProtocol(found: unknown): void {
  if (found === PROTOCOL) return;
  throw new WorkerLost(
    `The worker speaks version ${String(found)} of webmoe's messages, this page ${PROTOCOL}: give both the same version of webmoe`,
    { found, wanted: PROTOCOL },
  );
}
