/** Whether a file system is memory in disguise. */
import type { RecordFolder } from './folder.ts';

const BATCHES = 6;
const READS = 20;
/** Reading a byte from a file takes a microsecond. In Chromium's private windows, whose files are in another process's memory, it takes 50 to 300. */
const MOST_MICROSECONDS = 20;

/**
 * Only in the thread that has the sync access handles. A private window's files are gone with it, take memory as they grow, and Chromium does
 * not hold sync access handles to its quota there. Nothing says so but the time that a read takes.
 */
export async function isTemporary(folder: RecordFolder, name: string): Promise<boolean> {
  const file = (await folder.open(name, { create: true }))!;
  try {
    const byte = new Uint8Array(1);
    await file.write(byte, 0);
    let best = Infinity;
    for (let batch = 0; batch < BATCHES; batch++) {
      const start = performance.now();
      for (let i = 0; i < READS; i++) await file.read(byte, 0);
      best = Math.min(best, ((performance.now() - start) * 1000) / READS);
    }
    return best > MOST_MICROSECONDS;
  } finally {
    await file.close();
    await folder.remove(name);
  }
}
