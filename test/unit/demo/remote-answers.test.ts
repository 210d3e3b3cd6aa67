import { describe, expect, it } from 'vitest';
import type { AnswerEnd, Turn } from '../../../demo/engine.ts';
import { remoteAnswers } from '../../../demo/remote/answers.ts';
import { CannotContinue } from '../../../demo/remote/continuation.ts';
import {
  RemoteError,
  type AnyChunk,
  type ChatRequest,
  type GenerateOptions,
  type RemoteModel,
} from '../../../src/index.ts';

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
  fails: boolean | Error = false,
  prompt: readonly Turn[] = [{ role: 'user', content: 'Hi' }],
): Promise<Answered> {
  let request: ChatRequest | undefined;
  const create = async (body: ChatRequest): Promise<AsyncIterable<Partial<AnyChunk>>> => {
    request = body;
    return (async function* () {
      yield* chunks;
      if (fails) throw fails === true ? new Error('broken') : fails;
    })();
  };
  const remote = { baseURL: 'https://ai.example/v1', chat: { completions: { create } } } as unknown as RemoteModel;
  const stream = remoteAnswers(remote, 'm').generate(prompt, options);
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

describe('going on with an answer', () => {
  const BEFORE = 'Paris is the capital of France, and it';
  const goOn = (chunks: readonly string[], before = BEFORE, fails: boolean | Error = false): Promise<Answered> =>
    ask(
      chunks.map((text) => delta(text)),
      { continueFinal: true },
      fails,
      [
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: before },
      ],
    );

  it('is asked for as vLLM has it', async () => {
    const { request, text } = await goOn([' lies', ' on the Seine.']);
    expect(request).toMatchObject({ continue_final_message: true, add_generation_prompt: false });
    expect(request?.messages.at(-1)).toEqual({ role: 'assistant', content: BEFORE });
    expect(text).toBe(' lies on the Seine.');
    expect((await ask([delta('x')])).request).not.toHaveProperty('continue_final_message');
  });

  it.each([
    ['a short beginning that happens to be the same', ['Paris', ' again.'], 'Paris again.'],
    ['an answer that ends while it still looks the same', ['Paris is'], 'Paris is'],
    ['the answer so far once more, and then the rest', [BEFORE, ' lies', ' there.'], ' lies there.'],
    ['the same in one piece', [`${BEFORE} lies there.`], ' lies there.'],
    ['nothing', [], ''],
  ])('%s', async (_, chunks, text) => expect((await goOn(chunks)).text).toBe(text));

  it.each([
    ['with other words behind', ['Paris is the capital ', 'of France. It'], BEFORE],
    ['cut off', ['Paris is the capital of Fr'], BEFORE],
  ])('tells an answer that begins anew: %s', (_, chunks, before) =>
    expect(goOn(chunks, before)).rejects.toThrow(CannotContinue),
  );

  it('says what the server says when it refuses', async () => {
    const refusal = new RemoteError(400, 'https://ai.example/v1: the server answered 400: unknown field', {});
    await expect(goOn([], BEFORE, refusal)).rejects.toThrow(
      /^ai\.example does not go on with an answer .* it can be regenerated\. .*unknown field$/,
    );
    await expect(goOn([], BEFORE, refusal)).rejects.toBeInstanceOf(CannotContinue);
    const busy = new RemoteError(503, 'busy', {});
    await expect(goOn([], BEFORE, busy)).rejects.toBe(busy);
  });
});
