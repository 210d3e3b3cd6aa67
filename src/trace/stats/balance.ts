/** The balance losses and measures of the papers, under their names. Each is of one layer: across layers imbalances would cancel. */
import { InvalidRequest } from '../../errors.ts';
import type { Trace } from '../trace.ts';
import {
  loadChances,
  normalChance,
  nothing,
  pairsDrawn,
  tokensDrawn,
  type Chance,
  type Draws,
  type Measured,
} from './chance.ts';
import { chiSquareRatio, NORMAL_95 } from './distributions.ts';
import { loadStats } from './load.ts';
import { probabilitiesAt } from './probabilities.ts';
import { checkLayer, countsOf, layerOf, rowsOf, type LayerCounts, type Part } from './select.ts';
import { takenIn } from './taken.ts';

/**
 * Switch auxiliary loss E Σ f_i P_i (Fedus et al. 2021, arXiv 2101.03961, eq. 4), without α; f sums to 1 also where a token takes several experts, so
 * that 1 is balance. By chance 1: choices that do not follow the probabilities.
 * @returns null without probabilities
 */
export function switchLoss(from: LayerCounts, layer: number): Measured | null {
  const { counts, draws } = layerOf(from, layer);
  const n = tokensDrawn(draws);
  if (!from.probs) return null;
  if (n === 0) return nothing;
  const probs = from.probs.subarray(layer * from.experts, layer * from.experts + counts.length);
  return { value: loss(counts, probs, pairsDrawn(draws)), chance: lossChance(draws, probs), n };
}

const loss = (counts: ArrayLike<number>, probs: Float64Array, pairs: number): number =>
  probs.length * probs.reduce((sum, p, e) => sum + (counts[e]! / pairs) * p, 0);

/** Var of E Σ f_i P_i over choices: a token's covariance is p (1 - p) (I - 1/E) E / (E - 1), p = k / E. */
function lossVariance({ experts, taking }: Draws, probs: Float64Array): number {
  const pairs = pairsDrawn({ experts, taking });
  const squares = probs.reduce((sum, p) => sum + p * p, 0);
  const ofTokens = taking.reduce((v, t, k) => v + t * (k / experts) * (1 - k / experts), 0);
  return experts > 1 ? (experts ** 2 * ofTokens * Math.max(0, experts * squares - 1)) / (experts - 1) / pairs ** 2 : 0;
}

const lossChance = (draws: Draws, probs: Float64Array): Chance => normalChance(1, lossVariance(draws, probs));

/** The load loss CV² of Shazeer et al. 2017 (arXiv 1701.06538), of counts; on average (E - k) / (T k) by chance. */
export const loadCv2 = (from: LayerCounts, layer: number): Measured => loadStats(from, layer).cv2;

/** max / mean - 1 (Wang et al. 2024, arXiv 2408.15664); and one more, max / mean, is the imbalance that EPLB and vLLM print. */
export const maxVio = (from: LayerCounts, layer: number): Measured => loadStats(from, layer).maxVio;

/**
 * MaxVio of `devices` groups of E / devices neighbouring experts: the balance that DeepSeek-V2's device loss (arXiv 2405.04434, section 2.2.3) is after.
 * @throws InvalidRequest when the experts do not divide
 */
export function deviceBalance(from: LayerCounts, layer: number, devices: number): Measured {
  const { counts, draws } = layerOf(from, layer);
  if (!Number.isInteger(devices) || devices < 1 || counts.length % devices !== 0)
    throw new InvalidRequest(`${counts.length} experts do not divide among ${devices} devices`, { layer, devices });
  const n = tokensDrawn(draws);
  if (n === 0) return nothing;
  const of = (c: Float64Array): number => violation(grouped(c, devices));
  const [chance] = loadChances(`devices ${devices}`, draws, 1, (c, out) => (out[0] = of(c)));
  return { value: of(Float64Array.from(counts)), chance: chance!, n };
}

function grouped(counts: Float64Array, devices: number): Float64Array {
  const loads = new Float64Array(devices);
  counts.forEach((c, e) => (loads[Math.floor((e * devices) / counts.length)]! += c));
  return loads;
}

const meanOf = (values: Float64Array): number => values.reduce((a, b) => a + b, 0) / values.length;
const violation = (loads: Float64Array): number => loads.reduce((a, b) => Math.max(a, b)) / meanOf(loads) - 1;
/** σ / μ */
function spread(values: Float64Array): number {
  const mean = meanOf(values);
  return Math.sqrt(values.reduce((v, x) => v + (x - mean) ** 2, 0) / values.length) / mean;
}

/**
 * Importance loss (σ / μ)² of the summed gate weights (Shazeer et al. 2017, eq. 7), without its factor. Chance gives each token's weights to experts
 * drawn without replacement; then it is its mean times chi-square over E - 1.
 * @returns null without weights
 */
export function importanceCv2(trace: Trace, layer: number, part?: Part): Measured | null {
  const { ids, weights, start, experts, draws } = takenIn(trace, layer, part);
  if (!weights) return null;
  const importance = new Float64Array(experts);
  let variance = 0;
  for (let r = 0; r + 1 < start.length; r++) {
    let [sum, squares] = [0, 0];
    for (let i = start[r]!; i < start[r + 1]!; i++) {
      const w = weights[i]!;
      importance[ids[i]!]! += w;
      sum += w;
      squares += w * w;
    }
    variance += squares / experts - (sum / experts) ** 2;
  }
  const n = tokensDrawn(draws);
  const mean = meanOf(importance);
  if (!(mean > 0)) return nothing;
  const expected = Math.max(0, variance) / mean ** 2;
  const at = (z: number): number => (experts > 1 ? expected * chiSquareRatio(experts - 1, z) : 0);
  const chance: Chance = { mean: expected, low: at(-NORMAL_95), high: at(NORMAL_95), how: 'normal' };
  return { value: spread(importance) ** 2, chance, n };
}

/**
 * Router z-loss, mean of (ln Σ exp z)² (Zoph et al. 2022, arXiv 2202.08906, eq. 5), without its factor. Chance says nothing about it.
 * @returns null without logits
 */
export function routerZLoss(trace: Trace, layer: number, part?: Part): Measured | null {
  const { logits } = trace;
  const { layers, experts } = trace.model;
  checkLayer(trace.model, layer);
  if (!logits) return null;
  let [sum, n] = [0, 0];
  for (const row of rowsOf(trace, part)) {
    const at = (row * layers + layer) * experts;
    const z = logits.subarray(at, at + experts).filter((x) => !Number.isNaN(x));
    if (z.length === 0) continue;
    const most = z.reduce((a, b) => Math.max(a, b));
    sum += (most + Math.log(z.reduce((total, x) => total + Math.exp(x - most), 0))) ** 2;
    n++;
  }
  return n > 0 ? { value: sum / n, chance: null, n } : nothing;
}

/**
 * Sequence-wise balance Σ f_i P_i of DeepSeek-V3 (arXiv 2412.19437, eq. 17 to 20), without α: f_i = E / (k T) · tokens of i, P_i the mean normalised
 * score, both within one sequence; the mean over the part's chats. 1 is balance; short sequences lie above it even when all are balanced together.
 * @returns null without logits and their scoring
 */
export function sequenceBalance(trace: Trace, layer: number, part: Part = {}): Measured | null {
  checkLayer(trace.model, layer);
  if (!trace.logits || !trace.scoring) return null;
  const chats = [...new Set(trace.steps.map((s) => s.chat))];
  const one = new Float64Array(trace.model.experts);
  let [sum, variance, n] = [0, 0, 0];
  for (const chat of chats) {
    if ((part.chat ?? chat) !== chat || (part.chats && !part.chats.includes(chat))) continue;
    const { rows, ids, draws } = takenIn(trace, layer, { ...part, chat });
    if (ids.length === 0) continue;
    const probs = new Float64Array(one.length);
    const counts = new Float64Array(one.length);
    let scored = 0;
    for (const row of rows) {
      if (!probabilitiesAt(trace, row, layer, one)) continue;
      scored++;
      one.forEach((p, e) => (probs[e]! += p));
    }
    for (const id of ids) counts[id]!++;
    if (scored === 0) continue;
    const mean = probs.map((p) => p / scored);
    sum += loss(counts, mean, ids.length);
    variance += lossVariance(draws, mean);
    n++;
  }
  return n > 0 ? { value: sum / n, chance: normalChance(1, variance / n ** 2), n } : nothing;
}

/** Of one layer; null: the trace lacks what it is made of. */
export interface BalanceStats {
  readonly switchLoss: Measured | null;
  readonly sequence: Measured | null;
  readonly importanceCv2: Measured | null;
  readonly loadCv2: Measured;
  readonly zLoss: Measured | null;
  readonly maxVio: Measured;
}

export interface BalanceOptions {
  /** Counts of the same part, when they are there already. */
  readonly counts?: LayerCounts;
}

/** @throws InvalidRequest for a layer that does not exist */
export function balanceStats(trace: Trace, layer: number, part?: Part, options: BalanceOptions = {}): BalanceStats {
  const counts = options.counts ?? countsOf(trace, part);
  return {
    switchLoss: switchLoss(counts, layer),
    sequence: sequenceBalance(trace, layer, part),
    importanceCv2: importanceCv2(trace, layer, part),
    loadCv2: loadCv2(counts, layer),
    zLoss: routerZLoss(trace, layer, part),
    maxVio: maxVio(counts, layer),
  };
}
