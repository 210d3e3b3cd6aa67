/** The engine's worker, which can be told to end as workers do when all goes wrong. */
import { serveWorker } from '../../../src/surface/worker/serve.ts';

serveWorker();

addEventListener('message', ({ data }: MessageEvent) => {
  if (data === 'crash')
    setTimeout(() => {
      throw new Error('out of luck');
    });
  if (data === 'close') close();
});
