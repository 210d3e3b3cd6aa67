/** What the view of a training run is computed from: the settings that a visitor chose, and how far the run has come. */
import { informationOf, type Information } from '../../trace/stats/information.ts';
import { HUES } from '../ramps.ts';
import type { Regions, Trainer, TrainingSettings } from '../training.ts';
import type { Context } from '../view.ts';
import { lessonOf, type Lesson, type Looked, type Progress } from './lesson.ts';

export const MOST_EXPERTS = HUES.length;
export const MOST_CHOICES = 4;
export const MOST_BALANCE = 0.1;
/** Where motion is not welcome, a new picture comes this seldom. */
const STILL_MS = 2000;

export interface TrainingState extends Readonly<Record<string, string | number>> {
  readonly experts: number;
  readonly topK: number;
  readonly balance: number;
  readonly seed: string;
  readonly steps: number;
}

/** A look, and what it comes to. */
export interface Seen extends Looked {
  /** Of a square's region by its first expert. */
  readonly information: Information;
}

export interface Training {
  readonly trainer: Trainer;
  readonly settings: TrainingSettings;
  readonly regions: Regions;
  /** Bits that there are to tell of a square's region. */
  readonly all: number;
  readonly progress: Progress;
  readonly seen: readonly Seen[];
  /** Trained up to where it was asked to. */
  readonly isIdle: boolean;
}

export const trainerOf = ({ extra }: Pick<Context<TrainingState>, 'extra'>): Trainer | null =>
  (extra.trainer as Trainer | null | undefined) ?? null;

const within = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));
const whole = (value: number, low: number, high: number): number => Math.round(within(value, low, high));

/** A link may hold anything. */
export function settingsOf({ experts, topK, balance, seed }: TrainingState): TrainingSettings {
  const E = whole(experts, 2, MOST_EXPERTS);
  return {
    experts: E,
    topK: whole(topK, 1, Math.min(MOST_CHOICES, E)),
    balance: within(balance, 0, MOST_BALANCE),
    seed: Number(seed),
  };
}

export const isSeed = (text: string): boolean => /^\d{1,9}$/.test(text);

function informationIn({ look }: Looked, { labels, count: regions }: Regions): Information {
  const experts = look.logits.length / labels.length;
  const topK = look.experts.length / labels.length;
  const table = new Float64Array(regions * experts);
  labels.forEach((region, i) => table[region * experts + look.experts[i * topK]!]!++);
  return informationOf(table, regions, experts);
}

function entropyOf({ labels, count: regions }: Regions): number {
  const table = new Float64Array(regions * regions);
  labels.forEach((region) => table[region * (regions + 1)]!++);
  return informationOf(table, regions, regions).bits.value;
}

/** What is trained now. */
let watched: Lesson | null = null;

/** It rests while nobody looks. */
export const rest = (): void => watched?.pause();

export async function* trained({ state, motion }: Context<TrainingState>, trainer: Trainer): AsyncGenerator<Training> {
  const settings = settingsOf(state);
  const regions = trainer.regions(settings.seed);
  const known = new Map<number, Seen>();
  const seenAt = (looked: Looked): Seen => {
    const seen = known.get(looked.at) ?? { ...looked, information: informationIn(looked, regions) };
    known.set(looked.at, seen);
    return seen;
  };
  const end = whole(state.steps, 0, trainer.steps);
  watched = lessonOf(trainer, settings);
  for await (const progress of watched.until(end, motion ? 0 : STILL_MS))
    yield {
      trainer,
      settings,
      regions,
      all: entropyOf(regions),
      progress,
      seen: progress.looks.map(seenAt),
      isIdle: progress.problem !== null || progress.done >= end,
    };
}
