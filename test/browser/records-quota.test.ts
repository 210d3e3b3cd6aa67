/** Record folders that run out of room. On a profile on disk: in private windows Chromium does not count what sync access handles write. */
import { describe, expect, it } from 'vitest';
import { pageOnProfile } from '../support/profile.ts';

const MIB = 2 ** 20;

const profile = pageOnProfile('records.html');

describe.each(['worker', 'async'] as const)('when the quota is used up, %s', (backend) => {
  it.each(['write', 'truncate'] as const)('%s says so, and what was flushed stays', async (how) => {
    const { page } = profile.running;
    const session = await page.context().newCDPSession(page);
    const { origin } = new URL(page.url());
    await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 5 * MIB });
    const seen = await page.evaluate(
      async ([name, call, mib]) => {
        const { caught, equal, openers, pattern } = window.records;
        const folder = await openers[name]();
        const file = (await folder.open('full', { create: true }))!;
        await file.write(pattern(3 * mib), 0);
        await file.flush();
        const error = await caught(
          (async () => {
            if (call === 'truncate') await file.truncate(9 * mib);
            else await file.write(pattern(6 * mib, 2), 3 * mib);
            await file.flush();
          })(),
        );
        const into = new Uint8Array(3 * mib);
        equal(await file.read(into, 0), into.length, 'bytes');
        equal(into, pattern(3 * mib), 'what was flushed');
        await file.close();
        await folder.remove('full');
        // With room again, the folder is as good as new.
        const small = (await folder.open('small', { create: true }))!;
        await small.write(pattern(100), 0);
        await small.close();
        await folder.close();
        return error;
      },
      [backend, how, MIB] as const,
    );
    expect(seen).toMatchObject({ code: 'quota-exceeded', details: { file: 'webmoe-v1/full' } });
  });
});
