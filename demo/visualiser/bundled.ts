/** What comes with the page, and what it opens first. */
import { BUNDLED, type BundledCounts, type BundledTrace } from './data/index.ts';

export const TRACES = BUNDLED.filter((entry): entry is BundledTrace => entry.kind === 'trace');
export const COUNTS = BUNDLED.filter((entry): entry is BundledCounts => entry.kind === 'counts');

/** Of the model that the page can also run; small, because the first figure waits for it. */
export const FIRST_TRACE = 'smolmoe-first';
