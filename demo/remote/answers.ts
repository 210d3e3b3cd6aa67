/** A server in the model's place, as the conversation sees it. */
import type { GenerateOptions, RemoteModel } from '../../src/index.ts';
import type { Answerer, AnswerEnd, Turn } from '../engine.ts';
import { Continuation, CONTINUE, continueRefused } from './continuation.ts';

/** What the page's settings are called there; those that the visitor left alone are the server's to choose. */
function sampling(asked: GenerateOptions): Record<string, number> {
  const fields: Readonly<Record<string, number | null | undefined>> = {
    max_tokens: asked.maxTokens,
    temperature: asked.temperature,
    top_p: asked.topP,
    top_k: asked.topK,
    min_p: asked.minP,
    repetition_penalty: asked.repetitionPenalty,
    presence_penalty: asked.presencePenalty,
    frequency_penalty: asked.frequencyPenalty,
    seed: asked.seed,
  };
  return Object.fromEntries(
    Object.entries(fields).filter((entry): entry is [string, number] => typeof entry[1] === 'number'),
  );
}

const MAX_SEED = 2 ** 31;

/**
 * Asks the server along the conversation.
 * @throws RemoteError; CannotContinue when an answer is to be gone on with, and the server does not do that
 */
export function remoteAnswers(remote: RemoteModel, model: string): Answerer {
  const { host } = new URL(remote.baseURL);
  async function* generate(
    prompt: readonly Turn[],
    asked: GenerateOptions = {},
  ): AsyncGenerator<{ readonly text: string }, AnswerEnd, void> {
    const { signal } = asked;
    const continuation = asked.continueFinal ? new Continuation(prompt, host) : null;
    const seed = asked.seed ?? Math.floor(Math.random() * MAX_SEED);
    const begun = performance.now();
    let first: number | null = null;
    let reason: string | null = null;
    let usage: { prompt_tokens: number; completion_tokens: number } | null = null;
    try {
      const stream = await remote.chat.completions.create(
        {
          model,
          messages: prompt,
          ...sampling({ ...asked, seed }),
          ...(continuation && CONTINUE),
          stream: true,
          stream_options: { include_usage: true },
        },
        { signal },
      );
      for await (const chunk of stream) {
        usage = chunk.usage ?? usage;
        const choice = chunk.choices[0];
        reason = choice?.finish_reason ?? reason;
        const text = choice?.delta.content;
        if (!text) continue;
        first ??= performance.now();
        yield { text: continuation ? continuation.push(text) : text };
      }
      if (continuation) yield { text: continuation.finish() };
    } catch (error) {
      if (signal?.aborted) return { finishReason: 'abort', counts: null };
      throw continuation ? continueRefused(host, error) : error;
    }
    const finishReason = reason === 'length' ? 'length' : 'stop';
    if (!usage) return { finishReason, counts: null };
    const tokens = usage.completion_tokens;
    const seconds = first === null ? 0 : (performance.now() - first) / 1000;
    return {
      finishReason,
      promptTokens: usage.prompt_tokens,
      cachedTokens: 0,
      generatedTokens: tokens,
      seed,
      timeToFirstTokenMs: (first ?? performance.now()) - begun,
      tokensPerSecond: tokens > 1 && seconds > 0 ? (tokens - 1) / seconds : null,
      approximations: [],
    };
  }
  // A server says nothing of its context's length until it is exceeded.
  return { plan: { contextLength: Number.POSITIVE_INFINITY }, generate };
}
