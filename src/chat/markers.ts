/** Text that arrives in pieces, cut at markers; half a marker is never given out. */
import { openTail } from '../text/stop.ts';

export interface Cut {
  /** What comes before the marker, or all that cannot be the start of one. */
  readonly text: string;
  readonly marker: string | null;
}

export class MarkedText {
  #held = '';

  push(text: string): void {
    this.#held += text;
  }

  /** @param markers the ones that count now: the first in the text wins, and the longer one of two that begin together */
  next(markers: readonly string[]): Cut {
    const held = this.#held;
    let found: { readonly at: number; readonly marker: string } | null = null;
    for (const marker of markers) {
      const at = held.indexOf(marker);
      if (at < 0) continue;
      if (!found || at < found.at || (at === found.at && marker.length > found.marker.length)) found = { at, marker };
    }
    const end = found ? found.at : held.length - openTail(held, markers);
    this.#held = held.slice(end + (found?.marker.length ?? 0));
    return { text: held.slice(0, end), marker: found?.marker ?? null };
  }

  /** What was held back. */
  rest(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }
}
