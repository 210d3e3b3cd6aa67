/** Stop strings over a stream of text. */
import { InvalidRequest } from '../errors.ts';

const MAX_STOPS = 64;
const MAX_LENGTH = 1024;

export interface StopScan {
  /** Text that can be shown: it ends before the stop string and holds back what may be the start of one. */
  readonly text: string;
  readonly stopped: boolean;
}

export interface StopScanner {
  /** After `stopped` every further text is dropped. */
  push(text: string): StopScan;
  /** `text`, then everything held back, still cut before a stop string. The scanner is used up. */
  flush(text?: string): string;
}

/** Where the stop string that is complete first begins (of several that end together, the longest), or -1. */
function firstComplete(text: string, stops: readonly string[]): number {
  let begin = -1;
  let end = Infinity;
  for (const stop of stops) {
    const at = text.indexOf(stop);
    if (at < 0) continue;
    if (at + stop.length < end || (at + stop.length === end && at < begin)) [begin, end] = [at, at + stop.length];
  }
  return begin;
}

/** Length of the longest end of `text` that begins one of `stops` without completing it. */
export function openTail(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops) {
    for (let n = Math.min(stop.length - 1, text.length); n > longest; n--) {
      if (text.endsWith(stop.slice(0, n))) longest = n;
    }
  }
  return longest;
}

/**
 * The result does not depend on how the text is cut into pieces: text ends where the first stop string to be complete begins.
 * @param stops an empty list never stops
 * @throws InvalidRequest for an empty stop string, more than 64, or one longer than 1024 characters
 */
export function createStopScanner(stops: readonly string[]): StopScanner {
  if (stops.length > MAX_STOPS) throw new InvalidRequest(`at most ${MAX_STOPS} stop strings, got ${stops.length}`, {});
  for (const stop of stops) {
    if (typeof stop !== 'string' || stop.length === 0 || stop.length > MAX_LENGTH) {
      throw new InvalidRequest(`a stop string must have 1 to ${MAX_LENGTH} characters`, { stop });
    }
  }
  let held = '';
  let stopped = false;
  const push = (text: string, last: boolean): StopScan => {
    if (stopped) return { text: '', stopped };
    const all = held + text;
    const at = firstComplete(all, stops);
    stopped = at >= 0;
    const shown = stopped ? at : all.length - (last ? 0 : openTail(all, stops));
    held = stopped ? '' : all.slice(shown);
    return { text: all.slice(0, shown), stopped };
  };
  return {
    push: (text) => push(text, false),
    flush: (text = '') => push(text, true).text,
  };
}
