/** How fast records are written and read, in a profile on disk as a visitor has it. */
import { expect, it } from 'vitest';
import { pageOnProfile } from '../support/profile.ts';

const profile = pageOnProfile('records.html');

it('says how fast each way is', async () => {
  const { page } = profile.running;
  const here = (await page.evaluate(() => window.records.inWorker('speed'))) as { write: number; read: number };
  const { worker, async: slow } = await page.evaluate(async () => {
    const { openers, readSpeed, writeSpeed } = window.records;
    const measure = async (backend: 'worker' | 'async'): Promise<Record<string, number>> => {
      const folder = await openers[backend]();
      await folder.remove('speed');
      const write = await writeSpeed(folder);
      const speeds = { write, one: await readSpeed(folder, 1), four: await readSpeed(folder, 4) };
      await folder.close();
      return speeds;
    };
    return { worker: await measure('worker'), async: await measure('async') };
  });
  const gb = (bytes: number | undefined): string => `${((bytes ?? 0) / 1e9).toFixed(2)} GB/s`;
  console.log(
    [
      'records of 6 MiB at random places, page cache warm:',
      `  sync handles, this thread: read ${gb(here.read)}, write ${gb(here.write)}`,
      `  sync handles, I/O worker: read ${gb(worker.one)}, four at once ${gb(worker.four)}, write ${gb(worker.write)}`,
      `  asynchronous: read ${gb(slow.one)}, four at once ${gb(slow.four)}, write ${gb(slow.write)}`,
    ].join('\n'),
  );
  // 20 times as fast on an idle machine; other tests may be running.
  expect(here.read).toBeGreaterThan(slow.one!);
});
