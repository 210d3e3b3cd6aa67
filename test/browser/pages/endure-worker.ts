/** The engine's worker, which counts what it makes and tells on request. */
import { serveWorker } from '../../../src/surface/worker/serve.ts';
import { counts, startCounting } from './counting.ts';

startCounting();
serveWorker();

addEventListener('message', ({ data }: MessageEvent) => {
  if (data === 'counts') postMessage(counts());
});
