/**
 * Several requests at once: they join and leave between steps, and each step computes for all that run. One turn of the model's queue covers many
 * steps; whoever else waits for it (a score, another budget) comes in between two.
 */
import { OutOfBudget } from '../../errors.ts';
import type { ExpertStore } from '../../moe/store.ts';
import { invariant } from '../../util/assert.ts';
import type { Answer } from '../answer.ts';
import type { GeneratedToken, GenerateOptions, GenerateSummary } from '../generation.ts';
import { NO_INTERVENTIONS } from '../interventions.ts';
import type { Runtime } from '../runtime.ts';
import { StepRecord } from '../step-record.ts';
import type { Draw } from './batch-runner.ts';
import { Scheduler, type Sequence, type Stretch } from './scheduler.ts';
import type { RequestsPlan } from './sizes.ts';

export interface ServingParts {
  readonly plan: RequestsPlan;
  /** Tokens of a step. */
  readonly rows: number;
  /** On the device of the moment; again on the next one when that is lost. */
  readonly run: <T>(work: (runtime: Runtime) => Promise<T>) => Promise<T>;
  /** Waits for the model's turn. @returns ends it */
  readonly acquire: () => Promise<() => void>;
  /** Whether somebody else waits for the turn. */
  readonly isAwaited: () => boolean;
}

type FinishReason = GenerateSummary['finishReason'];
type Taken = ReturnType<Answer['take']>;

/** Tokens that a request may be ahead of its reader: who takes each as it comes never waits for a step of the others. */
const AHEAD = 2;

/** One request between the steps that draw its tokens and the reader who takes them. */
class Running {
  readonly answer: Answer;
  readonly sequence: Sequence;
  readonly taken: Taken[] = [];
  hasBegun = false;
  /** The token drawn last, which has yet to go into the model. */
  last: number | null = null;
  error: { readonly cause: unknown } | null = null;
  #wake: () => void = () => undefined;

  constructor(answer: Answer, sequence: Sequence) {
    this.answer = answer;
    this.sequence = sequence;
  }

  /** Something changed. */
  tell(): void {
    this.#wake();
  }

  fail(cause: unknown): void {
    this.error ??= { cause };
    this.tell();
  }

  changed(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve));
  }
}

/** Whether a request's options are among those that many can share a step with: others run alone, in turn. */
export const canShare = ({ routing, promptRouting, onPromptRouting, interventions }: GenerateOptions): boolean =>
  routing !== 'logits' && !promptRouting && !onPromptRouting && interventions === undefined;

export class Serving {
  readonly #parts: ServingParts;
  readonly #scheduler: Scheduler;
  readonly #running = new Map<Sequence, Running>();
  /** Whose pages the scheduler speaks of. */
  #runtime: Runtime | null = null;
  #isLooping = false;

  constructor(parts: ServingParts) {
    this.#parts = parts;
    this.#scheduler = new Scheduler({ ...parts.plan, rows: parts.rows });
  }

  /** Pages that requests use; 0 when none runs. */
  get usedPages(): number {
    return this.#scheduler.pool.used;
  }

  /**
   * Answers among the others; what it held is free when it ends, is left or aborted.
   * @throws what its steps throw; the signal's reason
   */
  async *generate(answer: Answer, signal: AbortSignal): AsyncGenerator<GeneratedToken, FinishReason, void> {
    signal.throwIfAborted();
    const sequence = this.#scheduler.add(answer.prompt, answer.mostTokens, !answer.skipsCache, answer.adapter);
    const running = new Running(answer, sequence);
    const leave = (): void => {
      this.#scheduler.remove(sequence);
      this.#running.delete(sequence);
    };
    const onAbort = (): void => {
      leave();
      running.fail(signal.reason);
    };
    this.#running.set(sequence, running);
    signal.addEventListener('abort', onAbort);
    try {
      answer.start();
      for (;;) {
        this.#scheduler.pause(sequence, false);
        this.#start();
        while (running.taken.length === 0 && !running.error) await running.changed();
        if (running.error) throw running.error.cause; // whoever aborted wants no token that was drawn ahead
        const next = running.taken.shift()!;
        yield next.token;
        if (next.finishReason) return next.finishReason;
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      leave();
    }
  }

  #start(): void {
    if (this.#isLooping || !this.#scheduler.isRunnable) return;
    this.#isLooping = true;
    void this.#loop()
      .catch((error: unknown) => this.#failAll(error))
      .finally(() => {
        this.#isLooping = false;
        this.#start(); // who came while it ended
      });
  }

  async #loop(): Promise<void> {
    while (this.#scheduler.isRunnable) {
      const release = await this.#parts.acquire();
      try {
        await this.#parts.run(prepare);
        do await this.#step();
        while (this.#scheduler.isRunnable && !this.#parts.isAwaited());
      } finally {
        release();
      }
    }
  }

  async #step(): Promise<void> {
    const { stretches, draws } = await this.#parts.run((runtime) => this.#compute(runtime));
    this.#scheduler.done(stretches);
    for (const { sequence, end, draws: isLast } of stretches)
      if (!isLast && end < sequence.prompt) this.#running.get(sequence)?.answer.onChunk(end);
    stretches.filter((s) => s.draws).forEach(({ sequence }, i) => this.#take(sequence, draws[i]!));
  }

  async #compute(
    runtime: Runtime,
  ): Promise<{ readonly stretches: readonly Stretch[]; readonly draws: readonly Draw[] }> {
    const { batch, experts } = runtime;
    invariant(batch, 'several requests at once without a runner');
    if (runtime !== this.#runtime) this.#scheduler.forget();
    this.#runtime = runtime;
    const stretches = this.#scheduler.next();
    if (stretches.length === 0) return { stretches, draws: [] }; // all were aborted while it waited
    for (const { sequence } of stretches) this.#begin(sequence);
    const works = stretches.map((s) => ({ ...s, draw: s.draws ? this.#running.get(s.sequence)!.answer.draw() : null }));
    const record = recordOf(stretches, experts.store);
    const endDemand = record.phase === 'prefill' ? experts.store.demand.begin() : null;
    try {
      const draws = await batch.run(works);
      record.finish();
      experts.monitor.add(record);
      experts.onStep();
      return { stretches, draws };
    } finally {
      endDemand?.();
    }
  }

  #begin(sequence: Sequence): void {
    const running = this.#running.get(sequence)!;
    if (running.hasBegun) return;
    running.hasBegun = true;
    running.answer.begin(sequence.found!);
  }

  #take(sequence: Sequence, draw: Draw): void {
    const running = this.#running.get(sequence);
    if (!running) return; // it left while the step ran
    if ('error' in draw) {
      this.#scheduler.remove(sequence);
      running.fail(draw.error);
      return;
    }
    const { answer, last } = running;
    if (last !== null) answer.fed(last, draw.routing);
    const taken = answer.take(draw);
    running.last = draw.id;
    running.taken.push(taken);
    if (taken.finishReason) this.#scheduler.remove(sequence);
    else {
      this.#scheduler.append(sequence, draw.id);
      this.#scheduler.pause(sequence, running.taken.length >= AHEAD);
    }
    running.tell();
  }

  /** What the pool holds is no longer certain. */
  #failAll(cause: unknown): void {
    for (const [sequence, running] of this.#running) {
      this.#scheduler.remove(sequence);
      running.fail(cause);
    }
    this.#scheduler.forget();
  }
}

/** At the beginning of a turn: what others may have changed is as it must be. */
async function prepare({ experts, session }: Runtime): Promise<void> {
  await experts.grow();
  session.intervene(NO_INTERVENTIONS);
  await bringAll(experts.store);
}

/** @throws OutOfBudget when there are fewer slots than experts, as after an allocation that failed */
async function bringAll(store: ExpertStore): Promise<void> {
  if (store.isComplete) return;
  for (const [layer, count] of store.experts.entries()) {
    const slots = store.residency.slotsOf(layer);
    const missing = [...Array(count).keys()].filter((e) => !store.residency.has(layer, e));
    if (missing.length > 0) await store.bring(layer, missing, { atLayer: layer, isKept: () => true });
    if (!store.isComplete && slots < count)
      throw new OutOfBudget(
        'Several requests at once need every expert on the GPU, and it has no room for all: raise gpuBytes, or load without requests',
        { layer, slots, experts: count },
      );
  }
}

function recordOf(stretches: readonly Stretch[], { experts }: ExpertStore): StepRecord {
  const tokens = stretches.reduce((n, { begin, end }) => n + end - begin, 0);
  const phase = stretches.every((s) => s.end - s.begin === 1) ? 'decode' : 'prefill';
  return new StepRecord(experts.length, { phase, position: 0, tokens }, false);
}
