/** The server around a scripted model: who may ask, what is refused and how, queue, disconnects, shutdown. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import OpenAI from 'openai';
import { afterEach, describe, expect, it } from 'vitest';
import type { Chat, ChatCompletion, ChatCompletionChunk, ChatRequest, ChatStream } from '../../../src/chat/types.ts';
import { startServer, type RunningServer, type ServerOptions } from '../../../src/cli/server/server.ts';
import { InvalidRequest, OutOfBudget } from '../../../src/errors.ts';
import { sleep } from '../../../src/weights/retry.ts';

/** Answers "a a a ...", `max_tokens` of them, and counts. */
class Script {
  tokens = 0;
  ended = 0;
  firstMs = 0;
  tokenMs = 0;
  error: unknown = null;
  errorAfter = 0;
  readonly requests: ChatRequest[] = [];
  readonly chat = {
    completions: { create: (r: ChatRequest, o: { signal?: AbortSignal }) => this.#create(r, o) },
  } as Chat;

  async #create(request: ChatRequest, { signal }: { signal?: AbortSignal }): Promise<ChatCompletion | ChatStream> {
    this.requests.push(request);
    if (this.error && this.errorAfter === 0) throw this.error;
    const chunks = this.#chunks(request, signal);
    if (request.stream) return Object.assign(chunks, { abort: () => undefined });
    let content = '';
    for await (const { choices } of chunks) content += choices[0]!.delta.content ?? '';
    const message = { role: 'assistant', content, refusal: null } as const;
    const choices = [{ index: 0, message, finish_reason: 'length' as const, logprobs: null, seed: 1 }];
    const usage = {
      prompt_tokens: 1,
      completion_tokens: 1,
      total_tokens: 2,
      prompt_tokens_details: { cached_tokens: 0 },
    };
    const extra = { time_to_first_token_ms: 1, decode_tokens_per_second: null };
    return { ...this.#head('chat.completion'), choices, usage: { ...usage, extra } };
  }

  #head<T extends string>(object: T): { id: string; object: T; created: number; model: string } {
    return { id: 'c', object, created: 1, model: 'script' };
  }

  async *#chunks(request: ChatRequest, signal: AbortSignal | undefined): AsyncGenerator<ChatCompletionChunk> {
    try {
      await sleep(this.firstMs, signal);
      for (let i = 0; i < (request.max_tokens ?? 3); i++) {
        if (this.error && i === this.errorAfter) throw this.error;
        if (this.tokenMs) await sleep(this.tokenMs, signal);
        signal?.throwIfAborted();
        this.tokens++;
        const routing = [{ ids: new Uint32Array([1, 2]), weights: new Float32Array([0.5, 0.25]) }];
        const moe = { tokens: [{ id: i, logprob: 0, routing }] };
        yield {
          ...this.#head('chat.completion.chunk'),
          choices: [{ index: 0, delta: { content: 'a' }, finish_reason: null, moe }],
        };
      }
    } finally {
      this.ended++;
    }
  }
}

const messages = [{ role: 'user', content: 'hi' }] as const;
let script = new Script();
let server: RunningServer | undefined;
let logged: string[] = [];
afterEach(async () => {
  await server?.close(0);
  server = undefined;
});

async function start(options: Partial<ServerOptions> = {}): Promise<OpenAI> {
  script = new Script();
  logged = [];
  server = await startServer({
    chat: script.chat,
    model: { id: 'org/script', contextLength: 64 },
    host: '127.0.0.1',
    port: 0,
    apiKey: null,
    origins: [],
    maxWaiting: 2,
    maxBodyBytes: 2000,
    keepAliveMs: 60_000,
    log: (line) => logged.push(line),
    ...options,
  });
  return new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** With headers that `fetch` would not let pass. */
const ask = (
  path: string,
  {
    method = 'GET',
    headers = {},
    body = '',
  }: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const request = httpRequest(`${server!.url}${path}`, { method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => (text += piece));
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, text }));
    });
    request.on('error', reject).end(body);
  });

const JSON_TYPE = { 'content-type': 'application/json' };
const errorOf = ({ text }: Answer): Record<string, unknown> =>
  (JSON.parse(text) as { error: Record<string, unknown> }).error;
const until = async (holds: () => boolean): Promise<void> => {
  for (let i = 0; i < 400 && !holds(); i++) await sleep(5);
  expect(holds()).toBe(true);
};

describe('a generic client', () => {
  it('lists the model, and reads answers whole and streamed', async () => {
    const client = await start();
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(['org/script']);
    expect((await client.models.retrieve('org/script')).owned_by).toBe('webmoe');
    const whole = await client.chat.completions.create({ model: 'any', messages: [...messages], max_tokens: 2 });
    expect(whole.choices[0]!.message.content).toBe('aa');
    const stream = await client.chat.completions.create({ model: 'any', messages: [...messages], stream: true });
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks.map(({ choices }) => choices[0]!.delta.content)).toEqual(['a', 'a', 'a']);
    expect(chunks[0]!.choices[0]).toMatchObject({
      moe: { tokens: [{ routing: [{ ids: [1, 2], weights: [0.5, 0.25] }] }] },
    });
  });

  it('chooses an adapter by naming it as the model', async () => {
    const client = await start({ adapters: ['poems', 'org/code'] });
    const listed = (await client.models.list()).data.map(({ id, ...rest }) => [
      id,
      (rest as { parent?: string }).parent,
    ]);
    expect(listed).toEqual([
      ['org/script', undefined],
      ['poems', 'org/script'],
      ['org/code', 'org/script'],
    ]);
    expect((await client.models.retrieve('org/code')).id).toBe('org/code');
    for (const model of ['poems', 'org/script', 'any'])
      await client.chat.completions.create({ model, messages: [...messages], max_tokens: 1 });
    expect(script.requests.map(({ adapter }) => adapter)).toEqual(['poems', undefined, undefined]);
  });

  it('is told what is wrong', async () => {
    const client = await start();
    script.error = new InvalidRequest('top_p must be at most 1', { field: 'top_p' });
    const create = client.chat.completions.create({ model: 'any', messages: [...messages] });
    const error: unknown = await create.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({
      status: 400,
      type: 'invalid_request_error',
      param: 'top_p',
      code: 'invalid-request',
    });
    script.errorAfter = 2;
    const stream = await client.chat.completions.create({ model: 'any', messages: [...messages], stream: true });
    let count = 0;
    const reading = (async () => {
      for await (const { choices } of stream) count += choices.length;
    })();
    await expect(reading).rejects.toThrow(/top_p must be at most 1/);
    expect(count).toBe(2);
  });

  it('that leaves ends the generation at once', async () => {
    const client = await start();
    script.tokenMs = 10;
    const stream = await client.chat.completions.create({
      model: 'any',
      messages: [...messages],
      stream: true,
      max_tokens: 1000,
    });
    let count = 0;
    for await (const chunk of stream) if ((count += chunk.choices.length) === 3) break;
    await until(() => script.ended === 1);
    expect(script.tokens).toBeLessThan(30);
    const stop = new AbortController();
    const whole = client.chat.completions.create(
      { model: 'any', messages: [...messages], max_tokens: 1000 },
      { signal: stop.signal },
    );
    await until(() => script.requests.length === 2);
    stop.abort();
    await expect(whole).rejects.toThrow(OpenAI.APIUserAbortError);
    await until(() => script.ended === 2);
    expect(script.tokens).toBeLessThan(60);
  });
});

describe('refusals', () => {
  const post = (body: string, headers: Record<string, string> = JSON_TYPE): Promise<Answer> =>
    ask('/v1/chat/completions', { method: 'POST', headers, body });

  it.each<[string, () => Promise<Answer>, number, RegExp]>([
    ['no JSON', () => post('{'), 400, /not JSON/],
    ['no object', () => post('[]'), 400, /JSON object/],
    ['another type', () => post('{}', { 'content-type': 'text/plain' }), 415, /application\/json/],
    [
      'too long, as announced',
      () => post('x'.repeat(3000), { ...JSON_TYPE, 'content-length': '3000' }),
      413,
      /2000 bytes/,
    ],
    [
      'too long, in chunks',
      () => post('x'.repeat(3000), { ...JSON_TYPE, 'transfer-encoding': 'chunked' }),
      413,
      /2000 bytes/,
    ],
    ['another path', () => ask('/v1/completions', { method: 'POST' }), 404, /no \/v1\/completions/],
    ['a path of objects', () => ask('/constructor'), 404, /no \/constructor/],
    ['another method', () => ask('/v1/chat/completions'), 405, /takes POST/],
    [
      'a name that points here',
      () => ask('/v1/models', { headers: { host: 'evil.example:8080' } }),
      403,
      /as localhost/,
    ],
    ['a page of another site', () => ask('/v1/models', { headers: { origin: 'https://evil.example' } }), 403, /--cors/],
    ['a page without a site', () => ask('/v1/models', { headers: { origin: 'null' } }), 403, /--cors/],
  ])('%s', async (_, asked, status, message) => {
    await start();
    const answer = await asked();
    expect(answer.status).toBe(status);
    expect(errorOf(answer)).toMatchObject({ message: expect.stringMatching(message) as string, param: null });
    expect(answer.headers['access-control-allow-origin']).toBeUndefined();
    expect(script.requests).toEqual([]);
  });

  it('say nothing of unexpected errors; the log does', async () => {
    await start();
    script.error = new Error('secret detail');
    const answer = await post('{"messages":[]}');
    expect([answer.status, errorOf(answer).type]).toEqual([500, 'server_error']);
    expect(answer.text).not.toContain('secret');
    expect(logged.join()).toContain('secret detail');
    script.error = new OutOfBudget('no room', {});
    expect((await post('{"messages":[]}')).status).toBe(503);
  });

  it('without the key', async () => {
    await start({ apiKey: 'right' });
    expect((await ask('/health')).status).toBe(200);
    const answer = await ask('/v1/models', { headers: { authorization: 'Bearer wrong' } });
    expect([answer.status, errorOf(answer).code]).toEqual([401, 'invalid_api_key']);
    expect((await ask('/v1/models', { headers: { authorization: 'Bearer right' } })).status).toBe(200);
  });
});

describe('pages', () => {
  it('of an allowed origin may ask, after a preflight', async () => {
    await start({ origins: ['https://app.example'], apiKey: 'right' });
    const headers = { origin: 'https://app.example' };
    const preflight = await ask('/v1/chat/completions', {
      method: 'OPTIONS',
      headers: { ...headers, 'access-control-request-headers': 'authorization, x-stainless-lang' },
    });
    expect([preflight.status, preflight.headers['access-control-allow-headers']]).toEqual([
      204,
      'authorization, x-stainless-lang',
    ]);
    const answer = await ask('/v1/models', { headers });
    expect([answer.status, answer.headers['access-control-allow-origin']]).toEqual([401, 'https://app.example']);
  });

  it('of this very server may ask', async () => {
    await start();
    expect((await ask('/health', { headers: { origin: server!.url } })).status).toBe(200);
  });
});

describe('one at a time', () => {
  it('some wait, more are sent away with a time to come back', async () => {
    const client = await start({ maxWaiting: 1 });
    script.tokenMs = 20;
    const create = (): Promise<unknown> =>
      client.chat.completions.create({ model: 'any', messages: [...messages], max_tokens: 5 });
    const both = [create(), create()];
    await until(() => script.requests.length === 1);
    await sleep(20);
    expect(JSON.parse((await ask('/health')).text)).toMatchObject({ running: 1, waiting: 1 });
    const body = JSON.stringify({ messages });
    const third = await ask('/v1/chat/completions', { method: 'POST', headers: JSON_TYPE, body });
    expect([third.status, third.headers['retry-after'], errorOf(third).code]).toEqual([503, '5', 'busy']);
    await Promise.all(both);
    expect(script.requests).toHaveLength(2);
  });

  it('or as many as it takes, of whom each passes its turn on', async () => {
    const client = await start({ maxWaiting: 1, atOnce: 2 });
    script.tokenMs = 20;
    const create = (): Promise<unknown> =>
      client.chat.completions.create({ model: 'any', messages: [...messages], max_tokens: 5 });
    const all = [create(), create(), create()];
    await until(() => script.requests.length === 2);
    await sleep(20);
    expect(JSON.parse((await ask('/health')).text)).toMatchObject({ running: 2, waiting: 1 });
    await expect(create()).rejects.toThrow('2 requests are being answered');
    await Promise.all(all);
    expect(JSON.parse((await ask('/health')).text)).toMatchObject({ running: 0, waiting: 0 });
    expect(script.requests).toHaveLength(3);
  });

  it('one who leaves the queue is not answered, and holds nobody up', async () => {
    const client = await start();
    script.tokenMs = 10;
    const create = (signal?: AbortSignal): Promise<unknown> =>
      client.chat.completions.create({ model: 'any', messages: [...messages], max_tokens: 10 }, { signal });
    const first = create();
    await until(() => script.requests.length === 1);
    const stop = new AbortController();
    const second = create(stop.signal).catch(() => 'left');
    await sleep(20);
    stop.abort();
    const third = create();
    await Promise.all([first, second, third]);
    expect(script.requests).toHaveLength(2);
  });

  it('signs of life while a prompt is read', async () => {
    await start({ keepAliveMs: 20 });
    script.firstMs = 90;
    const body = JSON.stringify({ messages, stream: true });
    const { text, headers } = await ask('/v1/chat/completions', { method: 'POST', headers: JSON_TYPE, body });
    expect(headers['content-type']).toMatch(/^text\/event-stream/);
    expect(text).toMatch(/^(: still at work\n\n){2,5}data: \{.*\n\ndata: [^]*data: \[DONE\]\n\n$/);
  });
});

describe('shutdown', () => {
  const body = JSON.stringify({ messages, max_tokens: 20 });
  const slow = (): Promise<Answer> => ask('/v1/chat/completions', { method: 'POST', headers: JSON_TYPE, body });

  it('waits for the answer under way, and sends away who waits', async () => {
    await start();
    script.tokenMs = 10;
    const first = slow();
    await until(() => script.requests.length === 1);
    const second = slow();
    await sleep(30);
    const closing = server!.close(5000);
    expect((await second).status).toBe(503);
    expect((await first).status).toBe(200);
    await closing;
    await expect(slow()).rejects.toThrow(/ECONNREFUSED/);
  });

  it('aborts it when it takes too long', async () => {
    await start();
    script.tokenMs = 100;
    const first = slow().catch(() => null);
    await until(() => script.requests.length === 1);
    const begin = performance.now();
    await server!.close(50);
    await first;
    await until(() => script.ended === 1);
    expect(performance.now() - begin).toBeLessThan(1000);
    expect(script.tokens).toBeLessThan(5);
  });

  it('says which port is taken', async () => {
    await start();
    const port = Number(new URL(server!.url).port);
    const again = startServer({ ...({ chat: script.chat } as ServerOptions), host: '127.0.0.1', port });
    await expect(again).rejects.toThrow(/something listens there already/);
  });
});
