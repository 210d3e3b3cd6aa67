/** Where bytes come from. Everything above this file is the same for HTTP, a folder of Files, and a path on disk. */
import { SourceError } from '../errors.ts';

/** A set of named files. Names are relative, with single `/`, already checked by `checkFileName`. */
export interface ByteSource {
  /** For messages: a URL, a folder's name, a path. */
  readonly label: string;
  /** What is kept of the source is kept under this name, where the label says more: the commit. Default: the label. */
  readonly key?: string;
  /** Bytes of the file, or null when it does not exist. @throws SourceError */
  size(file: string, signal?: AbortSignal): Promise<number | null>;
  /**
   * Exactly the bytes [begin, end) in pieces of any size, in order. Breaking out of the loop stops the transfer.
   * @throws SourceError when the file ends early or the transport fails for good
   */
  stream(file: string, begin: number, end: number, signal?: AbortSignal): AsyncIterable<Uint8Array>;
  /** How far away the bytes are; default `disk`. */
  readonly origin?: 'disk' | 'network';
  /** false once it is known that reading from the middle of a file costs all bytes before it; absent: it does not. */
  seeks?(file: string): boolean;
  /** Every file will be read to its end, roughly in order: what lies beside a read may come along. */
  willReadAll?(): void;
  /**
   * What tells one state of the file from another, as far as `size` or a read has shown it: `etag "..."`, `oid <hash>` or `modified <time>`. Two that begin
   * with different words say nothing about each other. null when unknown.
   */
  version?(file: string): string | null;
}

/** Exactly the bytes [begin, end), in memory of their own. @throws SourceError */
export async function readBytes(
  source: ByteSource,
  file: string,
  begin: number,
  end: number,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const out = new Uint8Array(end - begin);
  let at = 0;
  for await (const piece of source.stream(file, begin, end, signal)) {
    if (at + piece.length <= out.length) out.set(piece, at);
    at += piece.length;
  }
  if (at !== out.length) {
    throw new SourceError(`${source.label}: ${file} gave ${at} bytes for [${begin}, ${end})`, {
      file,
      begin,
      end,
      found: at,
    });
  }
  return out;
}
