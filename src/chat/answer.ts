/** One choice of a completion, as deltas. */
import type { GeneratedToken, GenerateSummary } from '../engine/generation.ts';
import type { Dialect } from './dialect.ts';
import type { OutputParser, OutputPiece } from './output.ts';
import type { Asked } from './request.ts';
import type { ChatSource } from './source.ts';
import type { ChunkChoice, Delta, FinishReason, MoeReport, TokenLogprob, ToolCallDelta, TopLogprob } from './types.ts';

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';

/** Nine letters and digits: Mistral's templates refuse any other id of a call. */
const callId = (): string => Array.from(crypto.getRandomValues(new Uint8Array(9)), (b) => LETTERS[b % 62]!).join('');

const decoder = new TextDecoder();

function topLogprob({ bytes, logprob }: { readonly bytes?: Uint8Array; readonly logprob: number }): TopLogprob {
  return { token: bytes ? decoder.decode(bytes) : '', bytes: bytes?.length ? [...bytes] : null, logprob };
}

const tokenLogprob = (token: GeneratedToken): TokenLogprob => ({
  ...topLogprob(token),
  top_logprobs: (token.topLogprobs ?? []).map(topLogprob),
});

/** Neighbouring pieces of a kind become one delta. */
function deltasOf(pieces: readonly OutputPiece[]): Delta[] {
  const deltas: Delta[] = [];
  const add = (key: 'content' | 'reasoning_content', text: string): void => {
    const last = deltas.at(-1);
    if (last?.[key] !== undefined) last[key] += text;
    else deltas.push({ [key]: text });
  };
  const call = (delta: ToolCallDelta): void => void deltas.push({ tool_calls: [delta] });
  for (const piece of pieces) {
    if (piece.kind === 'content') add('content', piece.text);
    else if (piece.kind === 'reasoning') add('reasoning_content', piece.text);
    else if (piece.kind === 'arguments') call({ index: piece.call, function: { arguments: piece.text } });
    else call({ index: piece.call, id: callId(), type: 'function', function: { name: piece.name, arguments: '' } });
  }
  return deltas;
}

function reportOf({ routing, interventions, approximations }: GenerateSummary): NonNullable<MoeReport['summary']> {
  return {
    approximations,
    ...(routing !== undefined && { routing }),
    ...(interventions !== undefined && { interventions }),
  };
}

/** Turns the tokens of one answer into the deltas of its choice. */
class Assembler {
  readonly #asked: Asked;
  readonly #dialect: Dialect;
  #parser: OutputParser | null = null;
  #calls = 0;
  /** A second call, where one is allowed, ended the answer. */
  isOver = false;

  constructor(asked: Asked, dialect: Dialect) {
    this.#asked = asked;
    this.#dialect = dialect;
  }

  /** The first token tells how the prompt ended. */
  token(token: GeneratedToken): Delta[] {
    const { tools, isForced } = this.#asked;
    this.#parser ??= this.#dialect.parser({ tools, isForced, promptTail: token.promptTail ?? '' });
    return deltasOf(this.#kept(this.#parser.push(token.text)));
  }

  end(): Delta[] {
    return deltasOf(this.#kept(this.#parser?.end() ?? []));
  }

  finish({ finishReason }: GenerateSummary): FinishReason {
    if (this.isOver) return 'tool_calls';
    if (finishReason === 'length') return 'length';
    return this.#calls > 0 ? 'tool_calls' : 'stop';
  }

  #kept(pieces: readonly OutputPiece[]): readonly OutputPiece[] {
    return pieces.filter((piece) => {
      if (piece.kind === 'call') this.isOver ||= this.#asked.oneCall && this.#calls > 0;
      if (this.isOver) return false;
      if (piece.kind === 'call') this.#calls++;
      return true;
    });
  }
}

/** Every token has a chunk where its log-probability or routing is wanted, else only those that bring something. */
function chunksOf(asked: Asked, index: number, token: GeneratedToken, deltas: readonly Delta[]): ChunkChoice[] {
  const { id, logprob, routing } = token;
  const extras = {
    ...(asked.logprobs && { logprobs: { content: [tokenLogprob(token)], refusal: null } }),
    ...(asked.moe && { moe: { tokens: [{ id, logprob, routing }] } }),
  };
  const all = deltas.length === 0 && (asked.logprobs || asked.moe) ? [{}] : deltas;
  return all.map((delta, i) => ({ index, delta, finish_reason: null, ...(i === 0 && extras) }));
}

const lastChunk = (asked: Asked, index: number, { finishReason, summary }: Ending): ChunkChoice => ({
  index,
  delta: {},
  finish_reason: finishReason,
  seed: summary.seed,
  ...(asked.moe && { moe: { tokens: [], summary: reportOf(summary) } }),
});

/** How a choice ended. */
export interface Ending {
  readonly summary: GenerateSummary;
  readonly finishReason: FinishReason;
}

/**
 * Pulls one token for what it gives. Leaving it early ends the generation.
 * @returns null when the signal aborted
 */
export async function* answer(
  source: ChatSource,
  dialect: Dialect,
  asked: Asked,
  index: number,
  signal: AbortSignal,
): AsyncGenerator<ChunkChoice, Ending | null, void> {
  const enough = new AbortController();
  const options = { ...asked.options, seed: asked.seed + index, signal: AbortSignal.any([signal, enough.signal]) };
  const assembler = new Assembler(asked, dialect);
  const tokens = source.generate(asked.messages, options);
  yield { index, delta: { role: 'assistant' }, finish_reason: null };
  try {
    for (;;) {
      const next = await tokens.next();
      if (signal.aborted) return null;
      if (next.done) {
        for (const delta of assembler.end()) yield { index, delta, finish_reason: null };
        const ending = { summary: next.value, finishReason: assembler.finish(next.value) };
        yield lastChunk(asked, index, ending);
        return ending;
      }
      yield* chunksOf(asked, index, next.value, assembler.token(next.value));
      if (assembler.isOver) enough.abort();
    }
  } finally {
    await tokens.return(undefined as never);
  }
}
