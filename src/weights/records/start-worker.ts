/** Starts the I/O worker from its own file: no blob, no eval, so that it runs under a strict Content-Security-Policy. */
import { trustedUrl } from '../../util/trusted-url.ts';

/** @throws when the page's CSP forbids workers of its own origin, or this file came from another one */
export function startIoWorker(): Worker {
  // Bundlers look for the words `new Worker(new URL(`. Under this name they start a worker whose address is a trusted one.
  const Worker = class extends globalThis.Worker {
    constructor(url: URL, options: WorkerOptions) {
      super(trustedUrl(url), options);
    }
  };
  return new Worker(new URL('./opfs-worker.ts', import.meta.url), { type: 'module', name: 'webmoe-io' });
}
