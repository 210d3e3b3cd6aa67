/** The JSON that a client sends. */
import type { IncomingMessage } from 'node:http';
import { Refused } from './refusal.ts';

/** @throws Refused: 415 for another type, 413 when it is longer than `most` bytes, 400 when it is no JSON object */
export async function readJson(request: IncomingMessage, most: number): Promise<Record<string, unknown>> {
  // Of all types that ask a browser's leave first; a page could send any other without.
  if (!/^application\/json\b/i.test(request.headers['content-type'] ?? ''))
    throw new Refused(415, 'Send the request as JSON, with Content-Type: application/json');
  const tooLong = new Refused(413, `The request is longer than ${most} bytes`, { headers: { connection: 'close' } });
  if (Number(request.headers['content-length'] ?? 0) > most) throw tooLong;
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > most) throw tooLong;
    pieces.push(piece);
  }
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(pieces)));
  } catch {
    throw new Refused(400, 'The request is not JSON');
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new Refused(400, 'The request must be a JSON object');
  return json as Record<string, unknown>;
}
