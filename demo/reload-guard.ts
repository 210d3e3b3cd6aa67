/** Keeps a card that stops at once from being restarted over and over, by this page or by one that was reloaded: the tab remembers. */
const WINDOW_MS = 30_000;
const KEY = 'webmoe-card-stopped';

type Stamps = Pick<Storage, 'getItem' | 'setItem'>;

function tabStamps(): Stamps | null {
  try {
    return sessionStorage;
  } catch {
    return null; // forbidden: then it is remembered as long as the page stands
  }
}

export class ReloadGuard {
  readonly #now: () => number;
  readonly #stamps: Stamps | null;
  #stoppedAt = -Infinity;

  constructor(now: () => number = () => Date.now(), stamps: Stamps | null = tabStamps()) {
    this.#now = now;
    this.#stamps = stamps;
    const kept = Number(stamps?.getItem(KEY) ?? NaN);
    if (Number.isFinite(kept)) this.#stoppedAt = kept;
  }

  /** The card stopped, or is restarted. */
  mark(): void {
    this.#stoppedAt = this.#now();
    try {
      this.#stamps?.setItem(KEY, String(this.#stoppedAt));
    } catch {
      // Full: then it is remembered as long as the page stands.
    }
  }

  /** True within half a minute of the last time; a clock that was set back does not keep it true. */
  get isTooSoon(): boolean {
    const since = this.#now() - this.#stoppedAt;
    return since >= 0 && since < WINDOW_MS;
  }
}
