/** One streamed answer as server-sent events: no faster than the client reads, with signs of life while nothing comes. */
import type { ServerResponse } from 'node:http';
import { toJson } from './json.ts';
import { bodyOf, refusalOf } from './refusal.ts';

export interface EventOptions {
  readonly headers: Readonly<Record<string, string>>;
  /** A comment after so long without a chunk: proxies and clients give up on silent connections. */
  readonly keepAliveMs: number;
  readonly signal: AbortSignal;
}

/**
 * What goes wrong before the first chunk, or the first sign of life, is thrown, so that the status can tell; later it is an event.
 * @throws as the chunks
 */
export async function sendEvents(
  response: ServerResponse,
  chunks: AsyncIterable<unknown>,
  options: EventOptions,
): Promise<void> {
  const write = async (text: string): Promise<void> => {
    if (!response.headersSent) response.writeHead(200, { ...EVENT_HEADERS, ...options.headers });
    if (!response.write(text)) await drained(response);
  };
  const timer = setInterval(() => void write(': still at work\n\n'), options.keepAliveMs);
  try {
    for await (const chunk of chunks) {
      timer.refresh();
      await write(`data: ${toJson(chunk)}\n\n`);
      if (options.signal.aborted) return;
    }
    await write('data: [DONE]\n\n');
  } catch (error) {
    if (!response.headersSent || options.signal.aborted) throw error;
    await write(`data: ${JSON.stringify(bodyOf(refusalOf(error)))}\n\n`);
  } finally {
    clearInterval(timer);
  }
  response.end();
}

const EVENT_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  // nginx would collect the events.
  'x-accel-buffering': 'no',
};

/** Resolves also when the client is gone. */
const drained = (response: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    const go = (): void => {
      response.off('drain', go).off('close', go);
      resolve();
    };
    if (response.destroyed) resolve();
    else response.on('drain', go).on('close', go);
  });
