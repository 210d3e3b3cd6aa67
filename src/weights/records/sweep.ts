/** Removes from a model's folder what is not part of it: leftovers of crashes (`*.crswap`, empty files) and of other programs. */
import { placesOf } from './atomic-file.ts';
import { isBlobFile } from './blobs.ts';
import { JOURNAL } from './commits.ts';
import type { RecordFolder } from './folder.ts';
import { MANIFEST } from './manifest.ts';
import { dataName, type RecordFileSpec } from './record-table.ts';

/** Only by whoever has the model's lock, and before its files are open. @returns bytes freed */
export async function sweep(folder: RecordFolder, files: readonly RecordFileSpec[]): Promise<number> {
  const ours = new Set([...placesOf(MANIFEST), JOURNAL, ...files.map(dataName)]);
  let freed = 0;
  for (const { name, bytes } of await folder.list()) {
    if (bytes > 0 && (ours.has(name) || isBlobFile(name))) continue;
    await folder.remove(name);
    freed += bytes;
  }
  for (const name of await folder.folders()) {
    freed += await bytesIn(await folder.folder(name));
    await folder.removeFolder(name);
  }
  return freed;
}

/** Of all files inside, at any depth. */
export async function bytesIn(folder: RecordFolder): Promise<number> {
  let bytes = 0;
  for (const file of await folder.list()) bytes += file.bytes;
  for (const name of await folder.folders()) bytes += await bytesIn(await folder.folder(name));
  return bytes;
}
