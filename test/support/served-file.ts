/** Files that a test server hands out: from memory, or from disk, where they may be sparse and larger than memory. */
import { createHash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

export type ServedFile = Uint8Array | { readonly path: string };

/** All files below a folder, by their path from it. */
export function filesOf(folder: string): Record<string, ServedFile> {
  const names = readdirSync(folder, { recursive: true }).map(String);
  return Object.fromEntries(
    names
      .filter((name) => statSync(join(folder, name)).isFile())
      .map((name) => [name.replaceAll('\\', '/'), { path: join(folder, name) }]),
  );
}

/** Looked up at each request, so that a file may grow or shrink meanwhile. */
export const sizeOf = (file: ServedFile): number =>
  file instanceof Uint8Array ? file.length : statSync(file.path).size;

/** A strong tag: of the bytes in memory, of size and time on disk. */
export function tagOf(file: ServedFile): string {
  if (file instanceof Uint8Array) return `"${createHash('sha1').update(file).digest('hex')}"`;
  const { size, mtimeMs } = statSync(file.path);
  return `"${size.toString(36)}-${Math.round(mtimeMs).toString(36)}"`;
}

/** The bytes [begin, end) in pieces of `most` at most. */
export async function* piecesOf(
  file: ServedFile,
  begin: number,
  end: number,
  most: number,
): AsyncGenerator<Uint8Array> {
  if (file instanceof Uint8Array) {
    for (let at = begin; at < end; at += most) yield file.subarray(at, Math.min(end, at + most));
    return;
  }
  const handle = await open(file.path);
  try {
    for (let at = begin; at < end;) {
      const { bytesRead, buffer } = await handle.read(new Uint8Array(Math.min(most, end - at)), { position: at });
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}
