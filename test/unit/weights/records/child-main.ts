/** What the child does: caches records in a folder until it is done or killed. Says `synced <n>` when the first n records are safe. */
import { nodeFolder } from '../../../../src/weights/records/node-folder.ts';
import { nodeLock } from '../../../../src/weights/records/node-lock.ts';
import { openRecordCache } from '../../../../src/weights/records/open-cache.ts';
import { bigRecord, bigRecords, bigSpecs, identity } from './support.ts';

const [dir, mode] = process.argv.slice(2) as [string, string];
const say = (line: string): void => void process.stdout.write(`${line}\n`);
try {
  const cache = await openRecordCache(nodeFolder(dir), identity, bigSpecs, {
    lock: nodeLock(dir),
    groups: { delayMs: 5, records: 8 },
  });
  say(`opened ${cache.presentBytes}`);
  if (mode === 'hold') setInterval(() => undefined, 1000);
  else {
    const records = bigRecords();
    for (let i = 0; i < records.length; i++) {
      const { file, index } = records[i]!;
      await cache.write(file, index, bigRecord(file, index));
      if (i % 16 === 15 && (await cache.sync())) say(`synced ${i + 1}`);
      if (i % 40 === 39) await cache.savePopularity(Float32Array.of(i));
    }
    await cache.close();
    say('closed');
  }
} catch (error) {
  say(`failed ${String((error as { reason?: string }).reason)}`);
}
