/** A server that answers each request as told: for clients of chat completions. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ChatCall {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Record<string, unknown> | null;
  /** Resolves when the client is gone before the answer's end. */
  readonly gone: Promise<void>;
}

export interface ChatServer {
  /** With `/v1` at its end. */
  readonly url: string;
  readonly calls: ChatCall[];
  close(): Promise<void>;
}

export async function chatServer(answer: (call: ChatCall, response: ServerResponse) => void): Promise<ChatServer> {
  const calls: ChatCall[] = [];
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const text = Buffer.concat(pieces).toString();
      const gone = new Promise<void>((resolve) =>
        response.on('close', () => {
          if (!response.writableFinished) resolve();
        }),
      );
      const call: ChatCall = {
        method: request.method!,
        path: request.url!,
        headers: request.headers,
        body: text ? (JSON.parse(text) as Record<string, unknown>) : null,
        gone,
      };
      calls.push(call);
      answer(call, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    calls,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export const sendJson = (response: ServerResponse, status: number, value: unknown): void =>
  void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));

/** Data of events, in the form that OpenAI's servers use; ends the answer unless told otherwise. */
export function sendEvents(response: ServerResponse, data: readonly unknown[], ends = true): void {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  for (const value of data) response.write(`data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`);
  if (ends) response.end();
}
