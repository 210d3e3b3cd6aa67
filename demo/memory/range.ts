/** From the least graphics memory that works to all that helps, in positions of a slider. */
import type { PagePlan } from '../engine.ts';

export interface MemoryRange {
  readonly minBytes: number;
  readonly maxBytes: number;
  /** Experts on the card at either end. */
  readonly minExperts: number;
  readonly maxExperts: number;
  /** Positions after the first. */
  readonly steps: number;
}

/** More would be finer than a pixel. */
const MOST_STEPS = 400;

/** null: the plan leaves no choice. */
export function memoryRange({ slots, minimumBytes, fullBytes }: PagePlan): MemoryRange | null {
  if (!slots || minimumBytes === undefined || fullBytes === undefined) return null;
  if (fullBytes <= minimumBytes || slots.experts <= slots.minimum) return null;
  return {
    minBytes: minimumBytes,
    maxBytes: fullBytes,
    minExperts: slots.minimum,
    maxExperts: slots.experts,
    steps: Math.min(MOST_STEPS, slots.experts - slots.minimum),
  };
}

/** Reaches as far as both: with less memory a plan may choose fewer bits, and the way back must stay open. */
export function widened(a: MemoryRange, b: MemoryRange): MemoryRange {
  return { ...b, minBytes: Math.min(a.minBytes, b.minBytes), maxBytes: Math.max(a.maxBytes, b.maxBytes) };
}

const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));

/** Rounded up: a byte less could be an expert less. */
export const bytesAt = ({ minBytes, maxBytes, steps }: MemoryRange, position: number): number =>
  Math.ceil(minBytes + ((maxBytes - minBytes) * clamp(position, 0, steps)) / steps);

export const positionOf = ({ minBytes, maxBytes, steps }: MemoryRange, bytes: number): number =>
  Math.round((steps * (clamp(bytes, minBytes, maxBytes) - minBytes)) / (maxBytes - minBytes));

/** An estimate, as if all experts were of one size; a plan knows better. */
export const expertsAt = ({ minBytes, maxBytes, minExperts, maxExperts }: MemoryRange, bytes: number): number =>
  minExperts +
  Math.floor(
    ((maxExperts - minExperts) * (clamp(bytes, minBytes, maxBytes) - minBytes)) / (maxBytes - minBytes) + 1e-6,
  );
