/** A remote server in the model's place: the same calls, its errors with their reasons, and keys that appear nowhere. */
import type { ServerResponse } from 'node:http';
import { inspect } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { InvalidRequest, RemoteError } from '../../../src/errors.ts';
import type { RemoteOptions } from '../../../src/remote/client.ts';
import { connect, type RemoteModel } from '../../../src/remote/connect.ts';
import { chatServer, sendEvents, sendJson, type ChatCall, type ChatServer } from '../../support/chat-server.ts';

const KEY = 'sk-tellNobody123';
const messages = [{ role: 'user', content: 'hi' }] as const;
const chunk = (content: string, finish: string | null = null): unknown => ({
  id: 'x',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'm',
  choices: [{ index: 0, delta: { content }, finish_reason: finish }],
});
const whole = {
  id: 'x',
  object: 'chat.completion',
  choices: [{ index: 0, message: { role: 'assistant', content: 'hello' } }],
};

let server: ChatServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function remoteOf(
  answer: (response: ServerResponse, call: ChatCall) => void,
  options: Partial<RemoteOptions> = {},
): Promise<RemoteModel> {
  server = await chatServer((call, response) => answer(response, call));
  return connect({ baseURL: server.url, model: 'm', apiKey: KEY, ...options });
}

const failure = async (work: Promise<unknown>): Promise<RemoteError> => {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(RemoteError);
  expect(inspect(error, { depth: 9 }) + JSON.stringify((error as RemoteError).details)).not.toContain(KEY);
  return error as RemoteError;
};

const stream = (remote: RemoteModel, signal?: AbortSignal) =>
  remote.chat.completions.create({ messages, stream: true }, { signal });

async function textOf(remote: RemoteModel): Promise<string> {
  let text = '';
  for await (const { choices } of await stream(remote)) text += choices[0]?.delta.content ?? '';
  return text;
}

describe('answers', () => {
  it('whole', async () => {
    const remote = await remoteOf((response) => sendJson(response, 200, whole));
    const { choices } = await remote.chat.completions.create({ messages, top_k: 3, seed: 5 });
    expect(choices[0]!.message.content).toBe('hello');
    expect(server!.calls[0]).toMatchObject({
      method: 'POST',
      path: '/v1/chat/completions',
      headers: { authorization: `Bearer ${KEY}` },
      body: { messages, model: 'm', top_k: 3, seed: 5 },
    });
  });

  it('streamed, with usage in a chunk without choices', async () => {
    const usage = { choices: [], usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 } };
    const remote = await remoteOf((response) =>
      sendEvents(response, [chunk('he'), chunk('llo'), chunk('', 'stop'), usage, '[DONE]']),
    );
    expect(await textOf(remote)).toBe('hello');
    expect(remote.side).toBe('remote');
  });

  it('streamed without [DONE], when all choices said how they ended', async () => {
    const remote = await remoteOf((response) => sendEvents(response, [chunk('he'), chunk('llo', 'length')]));
    expect(await textOf(remote)).toBe('hello');
  });

  it('of the first model that the server lists, asked for once', async () => {
    const remote = await remoteOf(
      (response, { path }) =>
        sendJson(
          response,
          200,
          path.endsWith('/models') ? { data: [{ id: 'first', owned_by: 'o' }, { id: 'b' }] } : whole,
        ),
      { model: undefined },
    );
    await remote.chat.completions.create({ messages });
    await remote.chat.completions.create({ messages });
    await remote.chat.completions.create({ messages, model: 'b' });
    expect(server!.calls.map(({ body }) => body?.model)).toEqual([undefined, 'first', 'first', 'b']);
    expect(await remote.models.list()).toEqual([
      { id: 'first', ownedBy: 'o' },
      { id: 'b', ownedBy: null },
    ]);
  });
});

describe('stopping', () => {
  const endless = (): Promise<RemoteModel> =>
    remoteOf((response) => sendEvents(response, [chunk('a'), chunk('b')], false));

  it('by leaving the loop', async () => {
    const remote = await endless();
    for await (const { choices } of await stream(remote)) if (choices[0]!.delta.content === 'b') break;
    await server!.calls[0]!.gone;
  });

  it('by abort(), without an error', async () => {
    const remote = await endless();
    const answer = await stream(remote);
    let count = 0;
    for await (const { choices } of answer) if (choices.length && ++count === 2) answer.abort();
    expect(count).toBe(2);
    await server!.calls[0]!.gone;
  });

  it('by the signal, whose reason is thrown', async () => {
    const remote = await endless();
    const stop = new AbortController();
    const reason = new Error('enough');
    const reading = (async () => {
      for await (const { choices } of await stream(remote, stop.signal))
        if (choices[0]!.delta.content === 'b') setTimeout(() => stop.abort(reason), 10);
    })();
    await expect(reading).rejects.toBe(reason);
    await server!.calls[0]!.gone;
    await expect(stream(remote, stop.signal)).rejects.toBe(reason);
  });

  it('by the signal, before the answer begins', async () => {
    const remote = await remoteOf(() => undefined);
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error('enough')), 20);
    await expect(remote.chat.completions.create({ messages }, { signal: stop.signal })).rejects.toThrow('enough');
  });
});

describe('errors', () => {
  it.each<[string, number, unknown, RegExp]>([
    [
      'as OpenAI',
      401,
      { error: { message: `Incorrect API key provided: ${KEY}`, code: 'invalid_api_key' } },
      /401: .*\[secret\]/,
    ],
    ['as FastAPI', 422, { detail: 'no such field' }, /422: no such field/],
    ['as text', 503, 'busy', /503: "busy"/],
    ['as nothing', 500, '', /500/],
  ])('%s', async (_, status, body, message) => {
    const remote = await remoteOf((response) => {
      response.setHeader('retry-after', '2');
      sendJson(response, status, body);
    });
    for (const work of [remote.chat.completions.create({ messages }), stream(remote)]) {
      const error = await failure(work);
      expect([error.status, error.code]).toEqual([status, 'remote']);
      expect(error.message).toMatch(message);
      expect(error.details.retryAfterMs).toBe(2000);
    }
  });

  it.each<[string, (response: ServerResponse) => void, RegExp]>([
    [
      'an error in the stream',
      (r) => sendEvents(r, [chunk('a'), { error: { message: 'out of memory' } }]),
      /out of memory/,
    ],
    ['a stream that ends early', (r) => sendEvents(r, [chunk('a')]), /broke off before its end/],
    ['no JSON in the stream', (r) => sendEvents(r, [chunk('a'), '{"cut']), /no stream of chat completions/],
    ['no stream', (r) => sendJson(r, 200, { error: { message: 'streams are off' } }), /streams are off/],
  ])('%s', async (_, answer, message) => {
    expect((await failure(textOf(await remoteOf(answer)))).message).toMatch(message);
  });

  it('a connection that breaks, or was never there', async () => {
    const remote = await remoteOf((response) => {
      sendEvents(response, [chunk('a')], false);
      setTimeout(() => response.destroy(), 20);
    });
    const error = await failure(textOf(remote));
    expect([error.status, error.message]).toEqual([null, expect.stringMatching(/the connection failed/)]);
    await server!.close();
    expect((await failure(remote.models.list())).message).toMatch(/Is the server up/);
    server = undefined;
  });

  it('a web page in place of JSON, and a redirect', async () => {
    const page = await remoteOf((response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<p>'));
    expect((await failure(page.chat.completions.create({ messages }))).message).toMatch(/not JSON/);
    await server!.close();
    const other = await chatServer((_, response) => sendJson(response, 200, whole));
    const moved = await remoteOf((response) => void response.writeHead(307, { location: other.url }).end());
    await failure(moved.chat.completions.create({ messages }));
    expect(other.calls).toEqual([]);
    await other.close();
  });
});

describe('secrets', () => {
  it('are in no property of the object', async () => {
    const remote = await remoteOf((response) => sendJson(response, 200, whole), {
      headers: { 'x-api-key': 'other-secret' },
    });
    await remote.chat.completions.create({ messages });
    const shown = inspect(remote, { depth: 9, showHidden: true }) + JSON.stringify(remote);
    expect(shown).not.toMatch(/sk-tellNobody|other-secret/);
    expect(server!.calls[0]!.headers).toMatchObject({ 'x-api-key': 'other-secret', authorization: `Bearer ${KEY}` });
  });

  it.each<[string, RemoteOptions]>([
    ['a key with a line end', { baseURL: 'http://h/v1', apiKey: 'sk-\nsecret' }],
    ['a header that cannot be one', { baseURL: 'http://h/v1', headers: { 'x y': 'sk-secret' } }],
    ['a key in the URL', { baseURL: 'http://h/v1?key=sk-secret' }],
    ['a password in the URL', { baseURL: 'http://u:sk-secret@h/v1' }],
    ['no URL', { baseURL: 'sk-secret' }],
    ['another scheme', { baseURL: 'ftp://h/sk-secret' }],
  ])('%s is refused without being shown', (_, options) => {
    let error: unknown;
    try {
      connect(options);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(InvalidRequest);
    expect(inspect(error)).not.toContain('secret');
  });
});
