/**
 * Small files that are replaced as a whole. A folder cannot rename, so each has two places, written in turns: a crash while one is written leaves
 * the other. Whichever is whole and newer counts.
 */
import { checksum } from './checksum.ts';
import type { RecordFile, RecordFolder } from './folder.ts';

/** Words: mark, turn, bytes, checksum of the payload, checksum of the words before. */
const HEADER_BYTES = 20;
const MARK = 0x314d4257; // "WBM1"

interface Found {
  readonly turn: number;
  readonly place: 0 | 1;
  readonly payload: Uint8Array<ArrayBuffer>;
}

export const placesOf = (name: string): readonly [string, string] => [`${name}.0`, `${name}.1`];

/** @returns null when there is none, or only damaged ones. @throws StorageError */
export async function readAtomic(folder: RecordFolder, name: string): Promise<Uint8Array<ArrayBuffer> | null> {
  return (await newest(folder, name))?.payload ?? null;
}

/** Returns when it is safe from a crash. One at a time for each name. @throws StorageError, QuotaExceeded: then the old content stays */
export async function writeAtomic(folder: RecordFolder, name: string, payload: Uint8Array): Promise<void> {
  const before = await newest(folder, name);
  const place = before ? 1 - before.place : 0;
  const words = Uint32Array.of(MARK, ((before?.turn ?? 0) + 1) >>> 0, payload.length, checksum(payload), 0);
  words[4] = headerCheck(words);
  const file = (await folder.open(placesOf(name)[place]!, { create: true }))!;
  try {
    await file.write(payload, HEADER_BYTES);
    await file.write(new Uint8Array(words.buffer), 0);
    await file.truncate(HEADER_BYTES + payload.length);
    await file.flush();
  } finally {
    await file.close();
  }
}

export async function removeAtomic(folder: RecordFolder, name: string): Promise<void> {
  for (const place of placesOf(name)) await folder.remove(place);
}

async function newest(folder: RecordFolder, name: string): Promise<Found | null> {
  let best: Found | null = null;
  for (const place of [0, 1] as const) {
    const file = await folder.open(placesOf(name)[place]);
    if (!file) continue;
    try {
      const found = await readPlace(file);
      if (found && (!best || ((found.turn - best.turn) | 0) > 0)) best = { ...found, place };
    } finally {
      await file.close();
    }
  }
  return best;
}

async function readPlace(file: RecordFile): Promise<Omit<Found, 'place'> | null> {
  const header = new Uint8Array(HEADER_BYTES);
  if ((await file.read(header, 0)) < HEADER_BYTES) return null;
  const words = new Uint32Array(header.buffer);
  const [mark, turn, bytes, sum, check] = words as unknown as [number, number, number, number, number];
  if (mark !== MARK || check !== headerCheck(words) || bytes > (await file.size()) - HEADER_BYTES) return null;
  const payload = new Uint8Array(bytes);
  if ((await file.read(payload, HEADER_BYTES)) < bytes || checksum(payload) !== sum) return null;
  return { turn, payload };
}

const headerCheck = (words: Uint32Array): number =>
  checksum(new Uint8Array(words.buffer, words.byteOffset, HEADER_BYTES - 4));
