/** A training run that is watched: as many steps as were asked for, looked at now and then. What was seen is kept, so that one can go back. */
import type { Trainer, TrainingLook, TrainingRun, TrainingSettings, TrainingStep } from '../training.ts';
import { messageOf } from '../words.ts';

/** Steps from look to look. */
export const LOOK_EVERY = 10;
/** A slider that is dragged asks for many settings; the last one is meant. */
const SETTLED_MS = 200;

export interface Looked {
  /** So many steps were done. */
  readonly at: number;
  readonly look: TrainingLook;
}

export interface Progress {
  /** All that were trained, also those behind what is shown. */
  readonly done: number;
  /** Up to what is shown. */
  readonly steps: readonly TrainingStep[];
  readonly looks: readonly Looked[];
  /** Mean squared error over the plane of the dense layer before it was copied; null: not yet. */
  readonly denseError: number | null;
  readonly isOpening: boolean;
  readonly problem: string | null;
}

export class Lesson {
  readonly settings: TrainingSettings;
  readonly #trainer: Trainer;
  readonly #looks = new Map<number, TrainingLook>();
  #run: TrainingRun | null = null;
  /** What is under way: never two steps at once. */
  #work: Promise<void> = Promise.resolve();
  /** The call of `until` that counts, and what it asked for. */
  #turn = 0;
  #end = 0;

  constructor(trainer: Trainer, settings: TrainingSettings) {
    this.#trainer = trainer;
    this.settings = settings;
  }

  get done(): number {
    return this.#run?.steps.length ?? 0;
  }

  get isRunning(): boolean {
    return this.done < this.#end;
  }

  /** The last one up to step `end`; null before the first. */
  lastLook(end: number): Looked | null {
    return this.#looksUntil(end).at(-1) ?? null;
  }

  /** Trains up to step `end`, unless another call or `pause` comes between, and tells how it goes, at most each `everyMs`. */
  async *until(end: number, everyMs: number): AsyncGenerator<Progress> {
    const turn = ++this.#turn;
    this.#end = end;
    const isMine = (): boolean => turn === this.#turn;
    yield this.#progress(end);
    try {
      if (end > 0 && !this.#run) {
        yield { ...this.#progress(end), isOpening: true };
        await new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
      }
      let told = performance.now();
      while (isMine() && this.done < end) {
        await this.#next(end);
        if (performance.now() - told < everyMs || this.done % LOOK_EVERY !== 0) continue;
        yield this.#progress(end);
        told = performance.now();
      }
      if (isMine()) yield this.#progress(end);
    } catch (error) {
      this.end();
      yield { ...this.#progress(end), problem: messageOf(error) };
    }
  }

  /** The step under way is the last until somebody asks for more. */
  pause(): void {
    this.#turn++;
    this.#end = this.done;
  }

  /** Gives the run back, whatever became of it. A later `until` begins anew. */
  end(): void {
    this.pause();
    this.#end = 0;
    this.#work = this.#work
      .catch(() => undefined)
      .then(() => {
        this.#run?.dispose();
        this.#run = null;
      });
  }

  #next(end: number): Promise<void> {
    return (this.#work = this.#work.then(async () => {
      this.#run ??= await this.#trainer.start(this.settings);
      if (this.done < end) await this.#run.step();
      if (this.done % LOOK_EVERY === 0 || this.done === end) this.#looks.set(this.done, await this.#run.look());
    }));
  }

  #looksUntil(end: number): readonly Looked[] {
    const some = [...this.#looks].filter(([at]) => at <= Math.min(end, this.done));
    return some.sort(([a], [b]) => a - b).map(([at, look]) => ({ at, look }));
  }

  #progress(end: number): Progress {
    return {
      done: this.done,
      steps: this.#run?.steps.slice(0, end) ?? [],
      looks: this.#looksUntil(end),
      denseError: this.#run?.denseError ?? null,
      isOpening: false,
      problem: null,
    };
  }
}

/** One at a time for each trainer. */
const lessons = new WeakMap<Trainer, Lesson>();

/** The lesson with these settings; one with others ends. */
export function lessonOf(trainer: Trainer, settings: TrainingSettings): Lesson {
  const known = lessons.get(trainer);
  if (known && JSON.stringify(known.settings) === JSON.stringify(settings)) return known;
  forgetLesson(trainer);
  const made = new Lesson(trainer, settings);
  lessons.set(trainer, made);
  return made;
}

/** So that the same settings begin anew. */
export function forgetLesson(trainer: Trainer): void {
  lessons.get(trainer)?.end();
  lessons.delete(trainer);
}
