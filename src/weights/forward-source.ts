/**
 * Servers without ranges send every file from its first byte. Here transfers stay open between reads, so that reading forwards pays for each
 * byte once: a read goes on from the open transfer nearest before it. Two a file, because a quantised matrix lies in two places (weights,
 * scales), each read forwards.
 */
import type { ByteSource } from './source.ts';

const CURSORS = 2;

class Cursor {
  position: number;
  busy = true;
  usedAt = 0;
  readonly #controller = new AbortController();
  readonly #pieces: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(source: ByteSource, file: string, position: number, size: number) {
    this.position = position;
    this.#pieces = source.stream(file, position, size, this.#controller.signal)[Symbol.asyncIterator]();
  }

  /** At most `most` bytes from `position` on, which moves; none at the end of the file. */
  async take(most: number): Promise<Uint8Array> {
    if (this.#rest.length === 0) {
      const next = await this.#pieces.next();
      if (next.done) return this.#rest;
      this.#rest = next.value;
    }
    const piece = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(piece.length);
    this.position += piece.length;
    return piece;
  }

  close(reason?: unknown): void {
    this.#controller.abort(reason);
    this.#pieces.return?.().catch(() => undefined);
  }
}

export function forwardSource(source: ByteSource): ByteSource {
  const cursors = new Map<string, Cursor[]>();
  let clock = 0;

  const open = (file: string, begin: number, size: number): Cursor => {
    const all = cursors.get(file) ?? [];
    cursors.set(file, all);
    const idle = all.filter((c) => !c.busy);
    const nearest = idle.filter((c) => c.position <= begin).sort((a, b) => b.position - a.position)[0];
    if (nearest) {
      nearest.busy = true;
      return nearest;
    }
    if (all.length >= CURSORS) {
      const oldest = idle.sort((a, b) => a.usedAt - b.usedAt)[0];
      if (oldest) close(file, oldest);
    }
    const cursor = new Cursor(source, file, begin, size);
    all.push(cursor);
    return cursor;
  };

  const close = (file: string, cursor: Cursor, reason?: unknown): void => {
    const all = cursors.get(file)!;
    all.splice(all.indexOf(cursor), 1);
    cursor.close(reason);
  };

  return {
    label: source.label,
    ...(source.key !== undefined && { key: source.key }),
    ...(source.origin && { origin: source.origin }),
    size: (file, signal) => source.size(file, signal),
    seeks: (file) => source.seeks?.(file) ?? true,
    version: (file) => source.version?.(file) ?? null,
    async *stream(file, begin, end, signal) {
      const size = await source.size(file, signal);
      if (source.seeks?.(file) !== false || size === null || end > size) {
        yield* source.stream(file, begin, end, signal);
        return;
      }
      signal?.throwIfAborted();
      const cursor = open(file, begin, size);
      const stop = (): void => cursor.close(signal?.reason);
      signal?.addEventListener('abort', stop, { once: true });
      let done = false;
      try {
        while (cursor.position < end) {
          const piece = await cursor.take(cursor.position < begin ? begin - cursor.position : end - cursor.position);
          signal?.throwIfAborted();
          if (piece.length === 0) break; // the reader notices that bytes are missing
          if (cursor.position > begin) yield piece;
        }
        done = cursor.position === end && end < size;
      } finally {
        signal?.removeEventListener('abort', stop);
        cursor.busy = false;
        cursor.usedAt = ++clock;
        if (!done) close(file, cursor);
      }
    },
  };
}
