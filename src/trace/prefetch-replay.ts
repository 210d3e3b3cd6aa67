/**
 * Replays a trace with experts of the next layer loaded on a guess, over one link, in time. The unit of time is what a layer computes. While a layer
 * computes, the link carries guessed loads for the next one; when that one starts, guesses that have not begun are dropped, missing experts go first,
 * and the layer waits for them. A guessed load under way is finished: if it is needed, the layer waits for its rest only.
 */
import { InvalidRequest } from '../errors.ts';
import { PrefetchGovernor, type GovernorOptions, type GovernorStats } from '../policy/governor.ts';
import { prng } from '../util/prng.ts';
import { openPools, policyFor, replay, type ReplayOptions } from './replay.ts';
import type { Trace } from './trace.ts';
import { visitsOf, type Visits } from './visits.ts';

export interface PrefetchOptions extends ReplayOptions {
  /** The link carries so many times the loads that the same policy makes without guesses; Infinity: any guess arrives in time. */
  readonly link: number;
  /** What is guessed for a visit: a chance that each true expert is among the guesses, or the guesses themselves. */
  readonly guess: { readonly recall: number; readonly seed?: number } | ((visit: number) => ArrayLike<number>);
  /** `always`: guesses go wherever the policy makes room; otherwise the governor decides. */
  readonly governor: 'always' | 'never' | Partial<GovernorOptions>;
}

/** Per decoded token. */
export interface PrefetchResult {
  /** Experts that a layer had to wait for. */
  readonly stalls: number;
  /** Time waited, in layers' computing times; a token without waits takes L of them. */
  readonly stallTime: number;
  readonly loads: number;
  readonly bytes: number;
  readonly guessedLoads: number;
  /** Of guessed loads, used before they left. */
  readonly usefulRatio: number;
  /** Demand loads of experts whose slot a guess had taken. */
  readonly displacedDemand: number;
  /** Share of the time in which the link carried something. */
  readonly busyShare: number;
  readonly governor: GovernorStats;
}

const ALWAYS: Partial<GovernorOptions> = { mostBusy: Infinity, idleBusy: -1, leastUseful: 0, width: Infinity };

/** Keeps each true expert with chance `recall`, and puts another expert of the layer, any with equal chance, in the place of each that it loses. */
function simulatedGuess(visits: Visits, recall: number, seed = 1): (visit: number) => number[] {
  const draw = prng(seed);
  const { experts: count } = visits.model;
  return (visit) => {
    const truth = visits.experts.subarray(visits.start[visit], visits.start[visit + 1]);
    const taken = new Set(truth);
    return Array.from(truth, (expert) => {
      if (draw() < recall || taken.size >= count) return expert;
      let other = Math.floor(draw() * count);
      while (taken.has(other)) other = (other + 1) % count;
      taken.add(other);
      return other;
    });
  };
}

/** @throws InvalidRequest for a link or a recall that means nothing, and as `replay` does */
export function replayPrefetch(trace: Trace | Visits, options: PrefetchOptions): PrefetchResult {
  const visits = 'start' in trace ? trace : visitsOf(trace);
  const { link, guess } = options;
  if (!(link > 0)) throw new InvalidRequest(`a link must carry something, got ${link} times the demand`, { link });
  if (typeof guess !== 'function' && !(guess.recall >= 0 && guess.recall <= 1))
    throw new InvalidRequest(`a recall is a chance from 0 to 1, got ${guess.recall}`, { recall: guess.recall });
  const run = new PrefetchRun(visits, options);
  for (let visit = 0; visit < visits.layer.length; visit++) run.visit(visit);
  return run.result();
}

interface Load {
  readonly key: number;
  /** Still to be carried, in loads. */
  left: number;
}

class PrefetchRun {
  readonly #visits: Visits;
  readonly #options: PrefetchOptions;
  readonly #policy;
  readonly #pools;
  readonly #governor: PrefetchGovernor;
  readonly #guesses: (visit: number) => ArrayLike<number>;
  /** Loads that the link carries in a layer's computing time. */
  readonly #perLayer: number;
  /** Until which visit an expert must stay: its own, or the next when it is guessed for that. */
  readonly #keptUntil: Int32Array;
  /** Guessed loads in their order; the first may be under way. */
  #queue: Load[] = [];
  #now = 0;
  readonly #isKept = (key: number): boolean => this.#keptUntil[key]! >= this.#now;
  #token = { time: 0, busy: 0 };
  readonly #sum = { stalls: 0, stallTime: 0, loads: 0, bytes: 0, guessed: 0, time: 0, busy: 0, tokens: 0 };

  constructor(visits: Visits, options: PrefetchOptions) {
    const { model } = visits;
    this.#visits = visits;
    this.#options = options;
    this.#policy = policyFor(options, visits);
    this.#pools = openPools(visits, options);
    this.#keptUntil = new Int32Array(model.layers * model.experts).fill(-1);
    this.#governor = new PrefetchGovernor(typeof options.governor === 'object' ? options.governor : ALWAYS);
    const { guess } = options;
    this.#guesses = typeof guess === 'function' ? guess : simulatedGuess(visits, guess.recall, guess.seed);
    this.#perLayer = (options.link * replay(visits, options).decodeLoadsPerToken) / model.layers;
  }

  visit(visit: number): void {
    const { layer: layerOf, start, experts, weights, isDecode, model } = this.#visits;
    this.#now = visit;
    const layer = layerOf[visit]!;
    const used = experts.subarray(start[visit], start[visit + 1]);
    const wait = this.#demand(layer, used);
    this.#policy.visit(layer, used, weights.subarray(start[visit], start[visit + 1]));
    for (const victim of this.#pools.victims(this.#policy, layer, this.#isKept)) this.#leave(victim);
    const next = visit + 1;
    const carried = next < layerOf.length && isDecode[next] ? this.#guess(next, layer) : 0;
    if (!isDecode[visit]) return;
    this.#token.time += wait + 1;
    this.#token.busy += wait + carried;
    this.#sum.stallTime += wait;
    if (layer === model.layers - 1 || next === layerOf.length) this.#endToken();
  }

  /** Brings what the layer needs. @returns how long it waits */
  #demand(layer: number, used: Uint16Array): number {
    const { experts, expertBytes } = this.#visits.model;
    let wait = 0;
    let stalls = 0;
    let fresh = 0;
    const queued = new Map(this.#queue.map((load) => [load.key, load]));
    for (const expert of used) {
      const key = layer * experts + expert;
      this.#keptUntil[key] = this.#now;
      const load = queued.get(key);
      if (this.#pools.has(layer, expert) && !load) {
        this.#governor.onUse(key);
        continue;
      }
      stalls++;
      wait += load?.left ?? 1;
      if (load) this.#governor.onUse(key);
      else {
        this.#governor.onMiss(key);
        this.#pools.add(layer, expert);
        fresh++;
      }
      queued.delete(key);
    }
    for (const load of queued.values()) {
      if (load.left < 1)
        wait += stalls ? load.left : 0; // under way, and in front of the others
      else this.#leave(load.key);
    }
    this.#queue = [];
    if (!this.#isDecode) return 0;
    this.#sum.stalls += stalls;
    this.#sum.loads += fresh;
    this.#sum.bytes += fresh * expertBytes[layer]!;
    return this.#perLayer > 0 ? wait / this.#perLayer : 0;
  }

  /** Starts guessed loads for a visit and carries them while the layer before computes. @returns how long the link was busy */
  #guess(next: number, atLayer: number): number {
    if (this.#options.governor === 'never') return 0;
    const { layer: layerOf, model } = this.#visits;
    const layer = layerOf[next]!;
    let width = this.#governor.width;
    const guesses = Array.from(this.#guesses(next));
    for (const expert of guesses) this.#keptUntil[layer * model.experts + expert] = next;
    for (const expert of guesses) {
      if (width <= 0) break;
      if (this.#pools.has(layer, expert) || !this.#makeRoom(layer, expert, atLayer)) continue;
      width--;
      this.#pools.add(layer, expert);
      this.#queue.push({ key: layer * model.experts + expert, left: 1 });
      if (!this.#isDecode) continue;
      this.#sum.guessed++;
      this.#sum.loads++;
      this.#sum.bytes += model.expertBytes[layer]!;
    }
    let room = this.#perLayer;
    while (this.#queue.length && room > 0) {
      const load = this.#queue[0]!;
      const part = Math.min(load.left, room);
      load.left -= part;
      room -= part;
      if (load.left > 0) break;
      this.#queue.shift();
    }
    return this.#perLayer === Infinity ? 0 : this.#perLayer > 0 ? (this.#perLayer - room) / this.#perLayer : 0;
  }

  #makeRoom(layer: number, expert: number, atLayer: number): boolean {
    const { experts } = this.#visits.model;
    const key = layer * experts + expert;
    const victims = this.#pools.victims(this.#policy, layer, this.#isKept, 1, atLayer);
    const chanceOf = (k: number): number => this.#policy.popularity(Math.floor(k / experts), k % experts);
    const candidate = Math.max(chanceOf(key), this.#governor.guessChance);
    const isAdmitted = (victim: number): boolean =>
      this.#options.governor === 'always' || this.#governor.admits(candidate, chanceOf(victim));
    if (!victims.every(isAdmitted)) return false;
    for (const victim of victims) this.#leave(victim);
    if (this.#pools.isOver(layer, 1)) return false; // all others are needed now
    this.#governor.onGuess(key, victims.at(-1) ?? null);
    return true;
  }

  #leave(key: number): void {
    this.#pools.remove(key);
    this.#governor.onLeave(key);
  }

  get #isDecode(): boolean {
    return this.#visits.isDecode[this.#now] === 1;
  }

  #endToken(): void {
    const { time, busy } = this.#token;
    this.#governor.endStep({ ms: time, busyMs: busy });
    this.#sum.time += time;
    this.#sum.busy += busy;
    this.#sum.tokens++;
    this.#token = { time: 0, busy: 0 };
  }

  result(): PrefetchResult {
    const { stalls, stallTime, loads, bytes, guessed, time, busy } = this.#sum;
    const tokens = Math.max(1, this.#sum.tokens);
    const stats = this.#governor.stats;
    return {
      stalls: stalls / tokens,
      stallTime: stallTime / tokens,
      loads: loads / tokens,
      bytes: bytes / tokens,
      guessedLoads: guessed / tokens,
      usefulRatio: stats.issued ? stats.useful / stats.issued : 0,
      displacedDemand: stats.displacedDemand / tokens,
      busyShare: time ? busy / time : 0,
      governor: stats,
    };
  }
}
