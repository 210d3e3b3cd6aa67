import { expect, test } from 'vitest';
import { memoryFolder } from '../../../../src/weights/records/memory-folder.ts';
import { openRecordCache } from '../../../../src/weights/records/open-cache.ts';
import { ALL, identity, inside, readAll, specs, writeAll } from './support.ts';

test('the journal, torn at every byte, gives the marks before', async () => {
  const root = memoryFolder();
  const cache = await openRecordCache(root, identity, specs, { groups: { records: 4 } });
  await writeAll(cache);
  await cache.sync();
  const folder = await inside(root);
  const journal = (await folder.open('journal'))!;
  const whole = new Uint8Array(await journal.size());
  await journal.read(whole, 0);
  const manifests = await Promise.all(
    ['manifest.0', 'manifest.1'].map(async (name) => {
      const file = (await folder.open(name))!;
      const bytes = new Uint8Array(await file.size());
      await file.read(bytes, 0);
      return { file, bytes };
    }),
  );
  const last = ALL * 24;
  expect(whole.subarray(0, last).some((byte) => byte !== 0)).toBe(true);
  for (let cut = 0; cut <= last; cut++) {
    for (const { file, bytes } of manifests) {
      await file.truncate(0);
      await file.write(bytes, 0);
    }
    await folder.remove('journal');
    await (await folder.open('journal', { create: true }))!.write(whole.subarray(0, cut), 0);
    const torn = await openRecordCache(root, identity, specs);
    const marked = Math.floor(cut / 24);
    expect(torn.presentBytes > 0).toBe(marked > 0);
    expect(await readAll(torn)).toEqual({ right: marked, wrong: 0, absent: ALL - marked });
    await torn.close();
  }
});
