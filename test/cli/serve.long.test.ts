/** A tiny model behind the server: a generic client, and our own, get the tokens that the model gives in this process. */
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createChat } from '../../src/chat/chat.ts';
import { modelSource } from '../../src/chat/model-source.ts';
import type { ChatSource } from '../../src/chat/source.ts';
import type { Chat, ChatCompletionChunk, ChatRequest } from '../../src/chat/types.ts';
import { startServer, type RunningServer } from '../../src/cli/server/server.ts';
import { loadOn } from '../../src/engine/load.ts';
import type { Model } from '../../src/engine/model.ts';
import { connect } from '../../src/remote/connect.ts';
import type { AnyChat } from '../../src/remote/types.ts';
import { filesSource } from '../../src/weights/files-source.ts';
import { sleep } from '../../src/weights/retry.ts';
import { openTestGpu } from '../support/gpu.ts';
import { withLetters } from '../support/letters.ts';
import { filesOf, fixturePath } from '../support/models.ts';

const gpu = await openTestGpu();
const request: ChatRequest = {
  model: 'org/tiny',
  messages: [{ role: 'user', content: 'abcdefgh' }],
  temperature: 2,
  seed: 7,
  max_tokens: 8,
};
const asked = request as OpenAI.ChatCompletionCreateParamsNonStreaming;

let model: Model;
let local: Chat;
let server: RunningServer;
let client: OpenAI;
let drawn = 0;
beforeAll(async () => {
  const files = Object.entries(withLetters(filesOf(fixturePath('families/olmoe'))));
  model = await loadOn(gpu.share(), filesSource(new Map(files.map(([name, bytes]) => [name, new Blob([bytes])]))), {
    contextLength: 512,
    prefillChunk: 32,
  });
  const source = modelSource(model, 'org/tiny');
  const counted: ChatSource = {
    ...source,
    async *generate(prompt, options) {
      const tokens = source.generate(prompt, options);
      try {
        for (;;) {
          const { value, done } = await tokens.next();
          if (done) return value;
          drawn++;
          yield value;
        }
      } finally {
        await tokens.return(undefined as never);
      }
    },
  };
  local = createChat(counted);
  server = await startServer({
    chat: local,
    model: source,
    host: '127.0.0.1',
    port: 0,
    apiKey: 'key',
    origins: [],
    maxWaiting: 2,
    maxBodyBytes: 1e6,
    keepAliveMs: 1000,
    log: (line) => expect.unreachable(line),
  });
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'key', maxRetries: 0 });
});
afterAll(async () => {
  await server.close(0);
  await model.dispose();
});

const wholeOf = (chat: AnyChat) => chat.completions.create({ ...request, stream: false });

/** Without what differs from answer to answer: id and times, and what the cache still holds. */
async function chunksOf(stream: AsyncIterable<object>): Promise<unknown[]> {
  const chunks: unknown[] = [];
  for await (const chunk of stream) {
    const { model, choices, usage } = chunk as ChatCompletionChunk;
    chunks.push({ model, choices, completionTokens: usage?.completion_tokens ?? null });
  }
  return JSON.parse(JSON.stringify(chunks)) as unknown[];
}

it('whole answers are the same, here and there', async () => {
  const here = await wholeOf(local);
  expect(here.choices[0]!.message.content).toMatch(/^[a-p]{8,16}$/);
  const there = await wholeOf(connect({ baseURL: `${server.url}/v1`, apiKey: 'key' }).chat);
  expect(there.choices).toEqual(JSON.parse(JSON.stringify(here.choices)));
  const generic = await client.chat.completions.create(asked);
  expect(generic.choices[0]!.message.content).toBe(here.choices[0]!.message.content);
  expect(generic).toMatchObject({ object: 'chat.completion', model: 'org/tiny', usage: { completion_tokens: 8 } });
});

it('streams are the same, chunk by chunk', async () => {
  const streamed = { ...request, stream: true, stream_options: { include_usage: true }, logprobs: true } as const;
  const here = await chunksOf(await local.completions.create(streamed));
  expect(here.length).toBeGreaterThan(8);
  const remote = connect({ baseURL: `${server.url}/v1/`, apiKey: 'key', model: 'org/tiny' });
  expect(await chunksOf(await remote.chat.completions.create(streamed))).toEqual(here);
  const generic = { ...asked, stream: true, stream_options: { include_usage: true }, logprobs: true } as const;
  expect(await chunksOf(await client.chat.completions.create(generic))).toEqual(here);
});

it('a client that leaves stops the generation, and the next one is answered', async () => {
  drawn = 0;
  const stream = await client.chat.completions.create({ ...asked, stream: true, max_tokens: 400 });
  let count = 0;
  for await (const chunk of stream) if ((count += chunk.choices.length) === 4) break;
  await sleep(300);
  const after = drawn;
  expect(after).toBeLessThan(40);
  await sleep(300);
  expect(drawn).toBe(after);
  expect((await client.chat.completions.create(asked)).usage!.completion_tokens).toBe(8);
});

it('errors have the status and the words of the model’s own', async () => {
  const wrong = client.chat.completions.create({ ...asked, temperature: -1 });
  await expect(wrong).rejects.toMatchObject({ status: 400, type: 'invalid_request_error' });
  const long = [{ role: 'user', content: 'abcp'.repeat(400) }] as const;
  for (const stream of [false, true]) {
    const error: unknown = await client.chat.completions
      .create({ ...asked, messages: [...long], stream })
      .then(async (answer) => {
        if (Symbol.asyncIterator in answer) for await (const chunk of answer) void chunk;
      })
      .catch((thrown: unknown) => thrown);
    expect(String(error)).toMatch(/the context holds 512/);
  }
  const other = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'other', maxRetries: 0 });
  await expect(other.models.list()).rejects.toThrow(OpenAI.AuthenticationError);
});
