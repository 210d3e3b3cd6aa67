/** Chat completions over a model. */
import { InvalidRequest } from '../errors.ts';
import { answer, type Ending } from './answer.ts';
import { dialectOf, type Dialect } from './dialect.ts';
import { readRequest, type Asked } from './request.ts';
import type { ChatSource } from './source.ts';
import type {
  Chat,
  ChatCompletion,
  ChatCompletionChunk,
  ChatRequest,
  ChatStream,
  ChunkChoice,
  CreateCompletion,
  RequestOptions,
  Usage,
} from './types.ts';
import { wholeChoice } from './whole.ts';

interface Head {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

const headOf = (source: ChatSource): Head => ({
  id: `chatcmpl-${crypto.randomUUID()}`,
  created: Math.floor(Date.now() / 1000),
  model: source.id,
});

/** The prompt is read once, whatever the number of choices: later ones find it in the cache. */
function usageOf(endings: readonly Ending[]): Usage {
  const first = endings[0]!.summary;
  const generated = endings.reduce((sum, { summary }) => sum + summary.generatedTokens, 0);
  return {
    prompt_tokens: first.promptTokens,
    completion_tokens: generated,
    total_tokens: first.promptTokens + generated,
    prompt_tokens_details: { cached_tokens: first.cachedTokens },
    extra: { time_to_first_token_ms: first.timeToFirstTokenMs, decode_tokens_per_second: first.tokensPerSecond },
  };
}

/** The choices one after another. @returns null when the signal aborted */
async function* answers(
  source: ChatSource,
  dialect: Dialect,
  asked: Asked,
  signal: AbortSignal,
): AsyncGenerator<ChunkChoice, Usage | null, void> {
  const endings: Ending[] = [];
  for (let index = 0; index < asked.choices; index++) {
    const ending = yield* answer(source, dialect, asked, index, signal);
    if (!ending) return null;
    endings.push(ending);
  }
  return usageOf(endings);
}

async function whole(source: ChatSource, dialect: Dialect, asked: Asked, signal: AbortSignal): Promise<ChatCompletion> {
  const running = answers(source, dialect, asked, signal);
  const chunks: ChunkChoice[][] = Array.from({ length: asked.choices }, () => []);
  const head = headOf(source);
  try {
    for (;;) {
      const { value, done } = await running.next();
      signal.throwIfAborted();
      if (!done) chunks[value.index]!.push(value);
      else return { ...head, object: 'chat.completion', choices: chunks.map(wholeChoice), usage: value! };
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    await running.return(null);
  }
}

async function* chunks(
  source: ChatSource,
  dialect: Dialect,
  asked: Asked,
  given: AbortSignal | undefined,
  stopped: AbortSignal,
): AsyncGenerator<ChatCompletionChunk, void, void> {
  const head = { ...headOf(source), object: 'chat.completion.chunk' as const };
  const running = answers(source, dialect, asked, given ? AbortSignal.any([given, stopped]) : stopped);
  const usage = asked.includeUsage ? { usage: null } : {};
  try {
    for (;;) {
      if (stopped.aborted) return;
      const { value, done } = await running.next();
      if (stopped.aborted) return;
      given?.throwIfAborted();
      if (!done) yield { ...head, choices: [value], ...usage };
      else {
        if (asked.includeUsage) yield { ...head, choices: [], usage: value };
        return;
      }
    }
  } catch (error) {
    if (stopped.aborted) return;
    given?.throwIfAborted();
    throw error;
  } finally {
    await running.return(null);
  }
}

function streamOf(source: ChatSource, dialect: Dialect, asked: Asked, signal: AbortSignal | undefined): ChatStream {
  const stop = new AbortController();
  let isTaken = false;
  return {
    abort: () => stop.abort(),
    [Symbol.asyncIterator]() {
      if (isTaken)
        throw new InvalidRequest('This stream was read already: its chunks come once. Make another request', {});
      isTaken = true;
      return chunks(source, dialect, asked, signal, stop.signal);
    },
  };
}

/**
 * `chat.completions.create` as OpenAI's clients have it, answered by `source`. Nothing is generated before it is asked for: a stream computes a
 * token when the loop wants one.
 */
export function createChat(source: ChatSource): Chat {
  const dialect = dialectOf(source.templateText);
  const create = async (
    request: ChatRequest,
    { signal }: RequestOptions = {},
  ): Promise<ChatCompletion | ChatStream> => {
    signal?.throwIfAborted();
    const asked = readRequest(request, dialect);
    if (request.stream) return streamOf(source, dialect, asked, signal);
    return whole(source, dialect, asked, signal ?? new AbortController().signal);
  };
  return { completions: { create: create as CreateCompletion } };
}
