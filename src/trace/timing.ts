/** What the steps of a trace took, from what a model's `onStep` tells. */
import type { TraceStep, TraceTiming } from './trace.ts';

/** Any StepEvent is one. */
export interface TimedStep {
  readonly phase: 'prefill' | 'decode';
  readonly position: number;
  readonly tokens: number;
  readonly ms: number;
  readonly stallMs: number;
  readonly bytes: { readonly disk: number; readonly network: number };
}

/** @returns for `count` steps; nothing is known of them yet */
export const noTiming = (count: number): TraceTiming => ({
  ms: new Float32Array(count).fill(NaN),
  stallMs: new Float32Array(count).fill(NaN),
  diskBytes: new Float64Array(count).fill(NaN),
  networkBytes: new Float64Array(count).fill(NaN),
});

/** Of one chat. A step of the trace may have been several of the model's: a prompt is read in chunks. */
export function timingOf(steps: readonly TraceStep[], events: readonly TimedStep[]): TraceTiming {
  const timing = noTiming(steps.length);
  steps.forEach(({ phase, position, tokens }, n) => {
    const own = events.filter(
      (e) => e.phase === phase && e.position >= position && e.position + e.tokens <= position + tokens,
    );
    if (own.length === 0) return;
    const sum = (of: (event: TimedStep) => number): number => own.reduce((total, event) => total + of(event), 0);
    timing.ms[n] = sum((e) => e.ms);
    timing.stallMs[n] = sum((e) => e.stallMs);
    timing.diskBytes[n] = sum((e) => e.bytes.disk);
    timing.networkBytes[n] = sum((e) => e.bytes.network);
  });
  return timing;
}
