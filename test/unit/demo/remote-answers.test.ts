import { expect, it } from 'vitest';
import type { AnswerEnd } from '../../../demo/engine.ts';
import { remoteAnswers } from '../../../demo/remote/answers.ts';
import type { AnyChunk, ChatRequest, GenerateOptions, RemoteModel } from '../../../src/index.ts';

const delta = (content: string, finish_reason: string | null = null): Partial<AnyChunk> => ({
  choices: [{ index: 0, delta: { content }, finish_reason, logprobs: null }],
});
const USAGE: Partial<AnyChunk> = {
  choices: [],
  usage: { prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 },
};

interface Answered {
  readonly text: string;
  readonly end: AnswerEnd;
  readonly request: ChatRequest | undefined;
}

/** Asks a server that sends these chunks, and then fails if told so. */
async function ask(
  chunks: readonly Partial<AnyChunk>[],
  options: GenerateOptions = {},
  fails = false,
): Promise<Answered> {
  let request: ChatRequest | undefined;
  const create = async (body: ChatRequest): Promise<AsyncIterable<Partial<AnyChunk>>> => {
    request = body;
    return (async function* () {
      yield* chunks;
      if (fails) throw new Error('broken');
    })();
  };
  const remote = { chat: { completions: { create } } } as unknown as RemoteModel;
  const stream = remoteAnswers(remote, 'm').generate([{ role: 'user', content: 'Hi' }], options);
  for (let text = ''; ;) {
    const { value, done } = await stream.next();
    if (done) return { text, end: value, request };
    text += value.text;
  }
}

it('sends what the visitor set, and a seed, and nothing else', async () => {
  const { request } = await ask([delta('x', 'stop')], { temperature: 0, topP: 0.5, maxTokens: 10, seed: 3 });
  expect(request).toEqual({
    model: 'm',
    messages: [{ role: 'user', content: 'Hi' }],
    stream: true,
    stream_options: { include_usage: true },
    temperature: 0,
    top_p: 0.5,
    max_tokens: 10,
    seed: 3,
  });
  expect((await ask([delta('x', 'stop')])).request?.seed).toBeGreaterThanOrEqual(0);
});

it('counts what the server counted', async () => {
  const { text, end } = await ask([delta('a'), delta(''), delta('b', 'length'), USAGE], { seed: 3 });
  expect(text).toBe('ab');
  expect(end).toMatchObject({ finishReason: 'length', promptTokens: 7, generatedTokens: 2, seed: 3 });
  expect((await ask([delta('a', 'stop')])).end).toEqual({ finishReason: 'stop', counts: null });
});

it('a stopped answer is no error, a broken one is', async () => {
  const stopped = AbortSignal.abort();
  expect((await ask([delta('a')], { signal: stopped }, true)).end).toEqual({ finishReason: 'abort', counts: null });
  await expect(ask([delta('a')], {}, true)).rejects.toThrow('broken');
});

it('says that it cannot go on with an answer', () =>
  expect(ask([], { continueFinal: true })).rejects.toThrow('regenerate it instead'));
