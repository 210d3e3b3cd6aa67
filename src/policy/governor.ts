/**
 * When and where to load experts on a guess. Guessing wins only on a link with time to spare: on a busy one each wrong guess delays a load that is
 * needed. So: never while the link was busy for half of the last tokens or too few guesses proved right; wider only when it idles; and a guess never
 * takes the slot of an expert that is more popular than the guessed one, or simply popular. Pure: it learns what happened by being told.
 */
export interface GovernorOptions {
  /** Tokens that the busy share looks back on. */
  readonly window: number;
  /** No guess at or above this share of time in which the link moved bytes. */
  readonly mostBusy: number;
  /** Below this share the wide allowance holds. */
  readonly idleBusy: number;
  /** No guess below this share of guessed loads used before they left; on an idle link, where a wrong one costs little, below the lesser share. */
  readonly leastUseful: number;
  readonly idleUseful: number;
  /** Guessed loads a layer and step, and the same on an idle link. */
  readonly width: number;
  readonly idleWidth: number;
  /** Occupants at or above this chance of use stay. */
  readonly hotChance: number;
}

export const GOVERNOR_DEFAULTS: GovernorOptions = {
  window: 16,
  mostBusy: 0.5,
  idleBusy: 0.35,
  leastUseful: 0.6,
  idleUseful: 0.3,
  width: 2,
  idleWidth: 4,
  hotChance: 0.75,
};

/** A guessed load that took somebody's slot. Keys are layer * E + expert. */
export interface Displacement {
  readonly step: number;
  readonly guessed: number;
  readonly displaced: number;
}

export interface GovernorStats {
  readonly issued: number;
  /** Used before they left. */
  readonly useful: number;
  /** Left unused. */
  readonly wasted: number;
  /** Demand loads of experts that a guess had displaced. */
  readonly displacedDemand: number;
  /** Over the recent past; what opens and closes. */
  readonly usefulRatio: number;
  readonly busyShare: number;
}

/** Before evidence, and again as evidence ages, guesses are taken to be this good: so it opens at first, and tries again after a bad spell. */
const PRIOR_RATIO = 0.75;
const PRIOR_GUESSES = 8;
/** What a step leaves of the evidence. */
const KEEP = 0.97;
const MOST_LOGGED = 256;

export class PrefetchGovernor {
  readonly #options: GovernorOptions;
  /** Guessed and not used yet. */
  readonly #pending = new Set<number>();
  /** By displaced key, oldest first. */
  readonly #log = new Map<number, Displacement>();
  readonly #times: { readonly ms: number; readonly busyMs: number }[] = [];
  #step = 0;
  #recentUseful = 0;
  #recentDone = 0;
  #issued = 0;
  #useful = 0;
  #wasted = 0;
  #displacedDemand = 0;

  constructor(options: Partial<GovernorOptions> = {}) {
    this.#options = { ...GOVERNOR_DEFAULTS, ...options };
  }

  /** Guessed loads that a layer may still have in this step: 0, 2 or 4. */
  get width(): number {
    const { mostBusy, idleBusy, leastUseful, idleUseful, width, idleWidth } = this.#options;
    const busy = this.#busyShare;
    const isIdle = busy < idleBusy;
    if (busy >= mostBusy || this.#usefulRatio < (isIdle ? idleUseful : leastUseful)) return 0;
    return isIdle ? idleWidth : width;
  }

  /** How often a guess proved right lately: the chance that the next one is. */
  get guessChance(): number {
    return this.#usefulRatio;
  }

  /**
   * Whether a guess may take a slot.
   * @param candidate chance that the guessed expert is used: its popularity, or `guessChance` where that is more. By popularity alone hardly any
   *   guess gets in, because what is popular is resident already.
   * @param occupant popularity of who is in the slot; null when it is free
   */
  admits(candidate: number, occupant: number | null): boolean {
    return occupant === null || (occupant < candidate && occupant < this.#options.hotChance);
  }

  /** A guessed load was issued; `displaced` had the slot, null when it was free. */
  onGuess(key: number, displaced: number | null): void {
    this.#issued++;
    this.#pending.add(key);
    this.#log.delete(key);
    if (displaced === null) return;
    this.#log.delete(displaced);
    this.#log.set(displaced, { step: this.#step, guessed: key, displaced });
    if (this.#log.size > MOST_LOGGED) this.#log.delete(this.#log.keys().next().value!);
  }

  /** An exact visit used the resident expert. */
  onUse(key: number): void {
    if (!this.#pending.delete(key)) return;
    this.#useful++;
    this.#recentUseful++;
    this.#recentDone++;
  }

  /** An exact visit missed the expert: a demand load. */
  onMiss(key: number): void {
    if (this.#log.delete(key)) this.#displacedDemand++;
  }

  /** The expert left, or its guessed load was dropped before it arrived. */
  onLeave(key: number): void {
    if (!this.#pending.delete(key)) return;
    this.#wasted++;
    this.#recentDone++;
  }

  /** A step ended: how long it took, and how much of that the link moved experts, guessed or not. */
  endStep({ ms, busyMs }: { readonly ms: number; readonly busyMs: number }): void {
    this.#step++;
    this.#times.push({ ms, busyMs });
    if (this.#times.length > this.#options.window) this.#times.shift();
    this.#recentUseful *= KEEP;
    this.#recentDone *= KEEP;
  }

  /** What guesses took the place of and nobody has asked for since, oldest first. */
  get log(): readonly Displacement[] {
    return [...this.#log.values()];
  }

  get stats(): GovernorStats {
    return {
      issued: this.#issued,
      useful: this.#useful,
      wasted: this.#wasted,
      displacedDemand: this.#displacedDemand,
      usefulRatio: this.#usefulRatio,
      busyShare: this.#busyShare,
    };
  }

  get #usefulRatio(): number {
    return (this.#recentUseful + PRIOR_RATIO * PRIOR_GUESSES) / (this.#recentDone + PRIOR_GUESSES);
  }

  /** 1 until a step has been timed: no guess before the link is known. */
  get #busyShare(): number {
    let [ms, busyMs] = [0, 0];
    for (const time of this.#times) {
      ms += time.ms;
      busyMs += time.busyMs;
    }
    return ms > 0 ? Math.min(1, busyMs / ms) : 1;
  }
}
