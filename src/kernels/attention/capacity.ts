import type { StepShape } from '../../gpu/recording.ts';
import { invariant } from '../../util/assert.ts';

/** A step beyond the cache would write into the next head's keys. */
export function assertFits(label: string, { tokens, position }: StepShape, capacity: number): void {
  invariant(position + tokens <= capacity, `${label}: ${tokens} tokens at ${position} overrun a cache of ${capacity}`);
}
