/** Twin of shaders/sample/sample.wgsl: sorts, in doubles. */
export interface SampleParams {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  readonly seed: number;
}

/** What a request adds: `bias` [V] to the logits, and `allowed` [ceil(V/32)], the tokens that may be drawn, bit id % 32 of word id / 32. */
export interface SampleLimits {
  readonly bias?: ArrayLike<number> | undefined;
  readonly allowed?: ArrayLike<number> | undefined;
}

const MASKED = -1e30;

const FORBIDDEN = -3e38;

/** A logit as it is compared: finite. */
export const bounded = (logit: number): number =>
  Number.isNaN(logit) ? MASKED : Math.min(Math.max(logit, MASKED), -MASKED);

const isForbidden = ({ allowed }: SampleLimits, id: number): boolean =>
  allowed !== undefined && ((allowed[id >> 5]! >>> (id & 31)) & 1) === 0;

/** logits [V], counts [V] (low 16 bits generated, bit 31 in the prompt); returns [V]. */
export function penalized(
  logits: ArrayLike<number>,
  counts: ArrayLike<number>,
  params: SampleParams,
  limits: SampleLimits = {},
): Float64Array {
  return Float64Array.from(logits, (raw, id) => {
    if (isForbidden(limits, id)) return FORBIDDEN;
    const logit = bounded(bounded(raw) + (limits.bias?.[id] ?? 0));
    const count = counts[id]!;
    if (logit <= MASKED || count === 0) return logit;
    const times = count & 0xffff;
    const repeated = bounded(logit > 0 ? logit / params.repetitionPenalty : logit * params.repetitionPenalty);
    return bounded(repeated - params.frequencyPenalty * times - (times > 0 ? params.presencePenalty : 0));
  });
}

/** Probability of each token [V] once temperature and filters have had their say; greedy gives all to one. */
export function distribution(
  logits: ArrayLike<number>,
  counts: ArrayLike<number>,
  params: SampleParams,
  limits: SampleLimits = {},
): Float64Array<ArrayBuffer> {
  const values = penalized(logits, counts, params, limits);
  const order = [...values.keys()].sort((a, b) => values[b]! - values[a]! || a - b);
  const best = order[0]!;
  const out = new Float64Array(values.length);
  if (params.temperature === 0 || values[best]! <= MASKED) {
    out[best] = 1;
    return out;
  }
  const weight = (id: number): number => Math.exp((values[id]! - values[best]!) / Math.max(params.temperature, 1e-6));
  let kept = order.filter((id) => values[id]! > MASKED);
  if (params.topK > 0) kept = kept.slice(0, params.topK);
  if (params.topP < 1) {
    const goal = params.topP * kept.reduce((total, id) => total + weight(id), 0);
    let sum = 0;
    kept = kept.filter((id) => {
      const short = sum < goal;
      sum += weight(id);
      return short;
    });
  }
  kept = kept.filter((id) => weight(id) >= params.minP);
  const total = kept.reduce((sum, id) => sum + weight(id), 0);
  for (const id of kept) out[id] = weight(id) / total;
  return out;
}

const mixed = (word: number): number => {
  let h = word;
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
};

/** In (0, 1): a hash of the seed and the position of the token to be chosen. */
export function uniformNumber(seed: number, position: number): number {
  return ((mixed(seed ^ mixed(position + 0x9e3779b9)) >>> 9) + 0.5) / 8388608;
}

/** The first token, in order of ids, at which the running sum of `probabilities` reaches `u`. */
export function drawnAt(probabilities: ArrayLike<number>, u: number): number {
  let sum = 0;
  let last = 0;
  for (let id = 0; id < probabilities.length; id++) {
    if (probabilities[id] === 0) continue;
    last = id;
    sum += probabilities[id]!;
    if (sum >= u) break;
  }
  return last;
}

/** log of the sum over the vocabulary of exp(logit - the highest), of the logits as they came. */
export function logSum(logits: ArrayLike<number>): number {
  const values = Array.from(logits, bounded);
  const highest = values.reduce((a, b) => Math.max(a, b), MASKED);
  return Math.log(values.reduce((total, v) => total + Math.exp(v - highest), 0));
}

/** log softmax(logits)[id], of the logits as they came. */
export function logProbability(logits: ArrayLike<number>, id: number): number {
  const highest = Array.from(logits, bounded).reduce((a, b) => Math.max(a, b), MASKED);
  return bounded(logits[id]!) - highest - logSum(logits);
}

/** @param position of the token to be chosen: position + tokens of the step */
export function sample(
  logits: ArrayLike<number>,
  counts: ArrayLike<number>,
  params: SampleParams,
  position: number,
  limits: SampleLimits = {},
): { id: number; logprob: number; counts: Uint32Array<ArrayBuffer> } {
  const id = drawnAt(distribution(logits, counts, params, limits), uniformNumber(params.seed, position));
  const raised = Uint32Array.from(counts);
  if ((raised[id]! & 0xffff) < 0xffff) raised[id] = raised[id]! + 1;
  return { id, logprob: logProbability(logits, id), counts: raised };
}
