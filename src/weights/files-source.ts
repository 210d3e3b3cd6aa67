/** Files that a visitor picked: a folder from `<input webkitdirectory>`, or single ones. */
import { InvalidRequest, SourceError } from '../errors.ts';
import { checkFileName } from './file-name.ts';
import type { ByteSource } from './source.ts';

const PIECE_BYTES = 4 * 2 ** 20;

/**
 * @param files a picked folder, whose common leading folders are dropped, or blobs by their name in the model's folder
 * @throws InvalidRequest when two files end up with one name, or there are none
 */
export function filesSource(files: Iterable<File> | ReadonlyMap<string, Blob>, label = 'the chosen files'): ByteSource {
  const blobs = files instanceof Map ? new Map<string, Blob>(files) : blobsByName([...(files as Iterable<File>)]);
  if (blobs.size === 0) throw new InvalidRequest('No files were chosen: choose the folder that holds config.json');
  return {
    label,
    size: async (file, signal) => {
      signal?.throwIfAborted();
      return blobs.get(checkFileName(file))?.size ?? null;
    },
    version: (file) => {
      const blob = blobs.get(checkFileName(file));
      return blob && 'lastModified' in blob ? `modified ${String(blob.lastModified)}` : null;
    },
    async *stream(file, begin, end, signal) {
      const blob = blobs.get(checkFileName(file));
      if (!blob) throw new SourceError(`${label}: there is no ${file}`, { file });
      if (end > blob.size)
        throw new SourceError(`${label}: ${file} has ${blob.size} bytes; bytes up to ${end} are needed`, {
          file,
          size: blob.size,
        });
      for (let at = begin; at < end; at += PIECE_BYTES) {
        signal?.throwIfAborted();
        const wanted = Math.min(PIECE_BYTES, end - at);
        const piece = await blob
          .slice(at, at + wanted)
          .arrayBuffer()
          .catch((cause: unknown) => {
            throw new SourceError(
              `${label}: ${file} cannot be read any more: it was changed, moved or closed. Choose it again`,
              { file },
              { cause },
            );
          });
        if (piece.byteLength !== wanted)
          throw new SourceError(`${label}: ${file} became shorter while it was read`, { file });
        yield new Uint8Array(piece);
      }
      signal?.throwIfAborted();
    },
  };
}

/**
 * The files by their name in the model's folder: without the leading folders that they have in common.
 * @throws InvalidRequest when two files end up with one name
 */
export function blobsByName(files: readonly File[]): Map<string, Blob> {
  const paths = files.map((f) => (f.webkitRelativePath || f.name).split('/'));
  const [first = []] = paths;
  let common = 0;
  while (paths.every((p) => common < p.length - 1 && p[common] === first[common])) {
    if (paths.length === 0) break;
    common++;
  }
  const found = new Map<string, Blob>();
  paths.forEach((path, i) => {
    const name = path.slice(common).join('/');
    if (found.has(name))
      throw new InvalidRequest(`Two of the chosen files are called ${name}: choose one folder`, { file: name });
    found.set(name, files[i]!);
  });
  return found;
}
