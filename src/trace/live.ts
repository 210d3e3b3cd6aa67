/** The trace of a model while it answers: it grows with every token, and can be looked at any time. */
import { InvalidRequest } from '../errors.ts';
import { GrowingArray } from './growing-array.ts';
import { LiveRows, placesOf, type LiveRouting } from './live-rows.ts';
import { NO_EXPERT, type PromptChunk } from './run-routing.ts';
import type { TimedStep } from './timing.ts';
import {
  ABSENT,
  ORIGINS,
  type Trace,
  type TraceChat,
  type TraceModel,
  type TraceStep,
  type TraceTiming,
} from './trace.ts';

/** Any GeneratedToken is one. */
export interface LiveToken {
  readonly id: number;
  readonly text: string;
  readonly logprob: number;
  /** Of the step that drew it, one entry a MoE layer: what the token before it took. */
  readonly routing: readonly LiveRouting[];
}

/** Any StepEvent is one; at the level `counts` it tells times only. */
export interface LiveStep extends TimedStep {
  readonly layers: readonly {
    readonly ids?: Uint32Array;
    readonly weights?: Float32Array;
    readonly origins?: readonly (typeof ORIGINS)[number][];
  }[];
}

export interface LiveOptions extends Pick<Trace, 'scoring' | 'sharedExperts' | 'provenance'> {
  /** Most tokens that are kept: 7 L K bytes each, and 4 L E more with logits. Default 8192. */
  readonly mostTokens?: number;
}

/** Steps that may be told of before their rows come; more are not of this chat. */
const MOST_EARLY = 64;
/** So many steps may their times come behind their rows; all of them decoded one token each. */
const MOST_LATE = 16;

/**
 * Fed by what a request tells: `onPromptRouting` goes to `prompt`, every token to `token`, and `onStep`, best at the level `ids`, to `step`. A token's
 * row comes with the token after it, whose step ran it; the last token of an answer, which nothing ran, has none.
 * Snapshots share their numbers with the run and stay as they are: rows are only ever added behind them. Times, origins and the last logprob may
 * still be filled in.
 */
export class LiveTrace {
  readonly #model: TraceModel;
  readonly #facts: Pick<Trace, 'scoring' | 'sharedExperts' | 'provenance'>;
  readonly #most: number;
  readonly #rows: LiveRows;
  readonly #timing = {
    ms: new GrowingArray((n) => new Float32Array(n), NaN),
    stallMs: new GrowingArray((n) => new Float32Array(n), NaN),
    diskBytes: new GrowingArray((n) => new Float64Array(n), NaN),
    networkBytes: new GrowingArray((n) => new Float64Array(n), NaN),
  };
  #steps: TraceStep[] = [];
  #texts: string[] = [];
  #chats: TraceChat[] = [];
  #isTimed = false;
  #left = { chats: 0, tokens: 0 };
  readonly #early = new Map<number, LiveStep>();
  /** The token drawn last, which the next step runs. */
  #drawn: LiveToken | null = null;
  /** Of the token that is run next, in its conversation. */
  #position = 0;
  /** Until something changes. */
  #snapshot: Trace | null = null;

  constructor(model: TraceModel, { mostTokens = 8192, ...facts }: LiveOptions = {}) {
    this.#model = model;
    this.#facts = facts;
    this.#most = mostTokens;
    this.#rows = new LiveRows(model);
  }

  /** What was dropped, oldest first, to keep to `mostTokens`. */
  get left(): { readonly chats: number; readonly tokens: number } {
    return { ...this.#left };
  }

  /** @param position of the first token of the answer: needed where the prompt's routing is not asked for */
  begin(chat: TraceChat, position = 0): void {
    this.#chats.push(chat);
    this.#position = position;
    this.#drawn = null;
    this.#early.clear();
    this.#snapshot = null;
  }

  /** The next chunk of a prompt: of a new chat's, or of a next turn's. */
  prompt({ position, shape: [tokens], texts, ...rows }: PromptChunk): void {
    this.#requireChat();
    const from = this.#rows.length;
    const added = this.#rows.add(tokens);
    added.tokens.set(rows.token_ids);
    added.weights.set(rows.router_weights);
    rows.routed_experts.forEach((id: number, i: number) => (added.ids[i] = id === NO_EXPERT ? ABSENT : id));
    if (rows.router_logits) this.#rows.setLogits(from * this.#model.layers, rows.router_logits);
    this.#drawn = null;
    this.#add('prefill', position, texts ?? Array<string>(tokens).fill(''));
  }

  token(token: LiveToken): void {
    this.#requireChat();
    const ran = this.#drawn;
    if (ran && token.routing.length > 0) {
      this.#rows.addToken(ran.id, token.logprob, token.routing);
      this.#add('decode', this.#position, [ran.text]);
    } else if (this.#steps.at(-1)?.chat === this.#chats.length - 1) this.#rows.setLastLogprob(token.logprob);
    this.#drawn = token;
    this.#snapshot = null;
  }

  /** Steps of other chats, and of what was not recorded, are left alone. */
  step(event: LiveStep): void {
    const last = this.#steps.length - 1;
    const isOwn = (n: number): boolean => n >= 0 && this.#steps[n]!.chat === this.#chats.length - 1;
    let n = last;
    while (
      isOwn(n) &&
      this.#steps[n]!.phase === 'decode' &&
      this.#steps[n]!.position !== event.position &&
      n > last - MOST_LATE
    )
      n--;
    if (isOwn(n) && this.#steps[n]!.position === event.position) this.#tell(n, event);
    else if (this.#early.size < MOST_EARLY) this.#early.set(event.position, event);
  }

  /** Everything so far, in a time that does not depend on its numbers: lists of steps and texts are copied, 8 bytes each. */
  snapshot(): Trace {
    const { ms, stallMs, diskBytes, networkBytes } = this.#timing;
    const timing = { ms: ms.view, stallMs: stallMs.view, diskBytes: diskBytes.view, networkBytes: networkBytes.view };
    this.#snapshot ??= {
      model: this.#model,
      steps: this.#steps.slice(),
      ...this.#rows.columns,
      texts: this.#texts.slice(),
      chats: this.#chats.slice(),
      ...(this.#isTimed && { timing: timing satisfies TraceTiming }),
      ...this.#facts,
    };
    return this.#snapshot;
  }

  #requireChat(): void {
    if (this.#chats.length === 0) throw new InvalidRequest('call begin() before the first token of a live trace', {});
  }

  /** A step whose rows were just added. */
  #add(phase: TraceStep['phase'], position: number, texts: readonly string[]): void {
    this.#steps.push({ phase, chat: this.#chats.length - 1, position, tokens: texts.length });
    for (const column of Object.values(this.#timing)) column.add(1);
    for (const text of texts) this.#texts.push(text);
    this.#position = position + texts.length;
    this.#snapshot = null;
    const event = this.#early.get(position);
    this.#early.delete(position);
    if (event) this.#tell(this.#steps.length - 1, event);
    this.#trim();
  }

  #tell(step: number, event: LiveStep): void {
    const { phase, tokens } = this.#steps[step]!;
    if (phase !== event.phase || tokens !== event.tokens) return;
    this.#isTimed = true;
    this.#snapshot = null;
    this.#timing.ms.view[step] = event.ms;
    this.#timing.stallMs.view[step] = event.stallMs;
    this.#timing.diskBytes.view[step] = event.bytes.disk;
    this.#timing.networkBytes.view[step] = event.bytes.network;
    if (phase === 'prefill') return;
    event.layers.forEach(({ ids, weights, origins }, layer) => {
      if (!ids || !weights || !origins) return;
      const places = placesOf({ ids, weights }).map((k) => ORIGINS.indexOf(origins[k] ?? 'unknown'));
      this.#rows.setOrigins(this.#rows.length - (this.#steps.length - step), layer, places);
    });
  }

  /** Oldest chats leave; of a chat that is too long by itself, its older half. */
  #trim(): void {
    if (this.#rows.length <= this.#most) return;
    const current = this.#chats.length - 1;
    let steps = 0;
    let rest = this.#rows.length;
    const dropStep = (): number => (rest -= this.#steps[steps++]!.tokens);
    while (rest > this.#most && this.#steps[steps]!.chat < current) {
      const { chat } = this.#steps[steps]!;
      while (this.#steps[steps]!.chat === chat) dropStep();
    }
    // Half of it, so that the next tokens need no move.
    if (rest > this.#most) while (rest > this.#most / 2 && steps < this.#steps.length - 1) dropStep();
    this.#drop(steps, this.#rows.length - rest);
  }

  #drop(steps: number, tokens: number): void {
    const chats = this.#steps[steps]!.chat;
    this.#left = { chats: this.#left.chats + chats, tokens: this.#left.tokens + tokens };
    this.#rows.drop(tokens);
    for (const column of Object.values(this.#timing)) column.drop(steps);
    this.#texts = this.#texts.slice(tokens);
    this.#chats = this.#chats.slice(chats);
    this.#steps = this.#steps.slice(steps).map((step) => ({ ...step, chat: step.chat - chats }));
  }
}
