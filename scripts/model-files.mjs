// Serves a folder of model files with byte ranges: any single range, exactly (sirv, which serves the page, reads `bytes=0-0` as the whole file).
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { pipeline } from 'node:stream';

/**
 * The bytes that a Range header asks for: `{ begin, end }` (end excluded), `null` for the whole file (no header, several ranges, or one that makes
 * no sense: RFC 9110 says to ignore it), or `'unsatisfiable'`.
 */
export function parseRange(header, size) {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return null;
  const [first, last] = [match[1], match[2]].map((digits) => (digits === '' ? null : Number(digits)));
  if (first === null) return last === 0 ? 'unsatisfiable' : { begin: Math.max(0, size - last), end: size };
  if (last !== null && last < first) return null;
  if (first >= size) return 'unsatisfiable';
  return { begin: first, end: last === null ? size : Math.min(size, last + 1) };
}

/** The file that a path names, or null: nothing outside `folder`, no dot files, no folders. */
async function findFile(folder, path) {
  let name;
  try {
    name = decodeURIComponent(path);
  } catch {
    return null;
  }
  if (name.includes('\0') || name.split(/[/\\]/).some((part) => part.startsWith('.'))) return null;
  const file = join(folder, name);
  if (!file.startsWith(folder + sep)) return null;
  const found = await stat(file).catch(() => null);
  return found?.isFile() ? { file, size: found.size, modified: found.mtimeMs } : null;
}

const typeOf = (file) =>
  file.endsWith('.json')
    ? 'application/json'
    : /\.(md|jinja|txt)$/.test(file)
      ? 'text/plain; charset=utf-8'
      : 'application/octet-stream';

/** A connect-style handler; `request.url` is relative to `folder`. */
export function modelFiles(folder) {
  const top = resolve(folder);
  return async (request, response, next) => {
    const found = await findFile(top, request.url.split(/[?#]/)[0]);
    if (!found) return next();
    const { file, size, modified } = found;
    const etag = `"${size.toString(36)}-${Math.round(modified).toString(36)}"`;
    const headers = { ETag: etag, 'Accept-Ranges': 'bytes', 'Cache-Control': 'no-cache' };
    if (request.headers['if-none-match'] === etag) return response.writeHead(304, headers).end();
    // If-Range: the range counts only for the version that the client has seen.
    const fresh = request.headers['if-range'] === undefined || request.headers['if-range'] === etag;
    const range = fresh ? parseRange(request.headers.range, size) : null;
    if (range === 'unsatisfiable') {
      return response.writeHead(416, { ...headers, 'Content-Range': `bytes */${size}` }).end();
    }
    const { begin, end } = range ?? { begin: 0, end: size };
    response.writeHead(range ? 206 : 200, {
      ...headers,
      'Content-Type': typeOf(file),
      'Content-Length': end - begin,
      ...(range && { 'Content-Range': `bytes ${begin}-${end - 1}/${size}` }),
    });
    if (request.method === 'HEAD' || end === begin) return response.end();
    // A client that goes away ends the pipeline with an error that is nobody's business.
    return pipeline(createReadStream(file, { start: begin, end: end - 1 }), response, () => undefined);
  };
}
