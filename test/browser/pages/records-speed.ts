/** How fast a folder is, in bytes a second. The page cache is warm: this is the cost of the way, not of the disk. */
import type { RecordFolder } from '../../../src/weights/records/folder.ts';
import { pattern } from '../../support/record-folder-cases.ts';

const MIB = 2 ** 20;
const FILE = 192 * MIB;
const RECORD = 6 * MIB;
/** The best counts: other programs can only make it slower. */
const ROUNDS = 6;

/** Writes a file of 192 MiB in records of 6 MiB, and flushes. */
export async function writeSpeed(folder: RecordFolder): Promise<number> {
  const file = (await folder.open('speed', { create: true }))!;
  const record = pattern(RECORD);
  const start = performance.now();
  for (let at = 0; at + RECORD <= FILE; at += RECORD) await file.write(record, at);
  await file.flush();
  const seconds = (performance.now() - start) / 1000;
  await file.close();
  return FILE / seconds;
}

/** Reads records of 6 MiB at random places, `inFlight` at a time. */
export async function readSpeed(folder: RecordFolder, inFlight: number): Promise<number> {
  const file = (await folder.open('speed'))!;
  const records = Math.floor(FILE / RECORD);
  const READS = 32;
  let next = 0;
  const lane = async (into: Uint8Array): Promise<void> => {
    for (let i = next++; i < READS; i = next++) await file.read(into, ((i * 17) % records) * RECORD);
  };
  const lanes = Array.from({ length: inFlight }, () => new Uint8Array(RECORD).fill(1)); // touched, as memory in use is
  let best = 0;
  for (let round = 0; round < ROUNDS; round++) {
    next = 0;
    const start = performance.now();
    await Promise.all(lanes.map(lane));
    best = Math.max(best, (READS * RECORD * 1000) / (performance.now() - start));
  }
  await file.close();
  return best;
}
