/** Twin of shaders/moe/route.wgsl. */
import type { NormKind, RouterConfig, SparseMixer } from '../../config/model-config.ts';
import { layerNorm } from '../norm/layer_norm.ts';
import { rmsNorm } from '../norm/rms_norm.ts';

export interface RouteInput {
  readonly x: ArrayLike<number>; // [T, D]
  /** Absent: no norm. */
  readonly gamma?: ArrayLike<number> | undefined; // [D]; of a layer norm with a bias [2 D]
  readonly router: ArrayLike<number>; // [E, D]; of experts that attend to each other [3 E, D]: q, k, v
  readonly logitBias?: ArrayLike<number> | undefined; // [E]
  readonly selectionBias?: ArrayLike<number> | undefined; // [E]
  readonly sharedGate?: ArrayLike<number> | undefined; // [D]
  /** Of the router's own norm of x. */
  readonly routerGains?: ArrayLike<number> | undefined; // [D]
  /** What the router reads in place of the normed x. */
  readonly early?: ArrayLike<number> | undefined; // [T, D]
  readonly expertScale?: ArrayLike<number> | undefined; // [E]
  /** Of two maps, of which `router` is the first, [inner, D]. */
  readonly second?: ArrayLike<number> | undefined; // [E, inner]
}

export interface RouteSize {
  readonly tokens: number;
  readonly hidden: number;
  readonly experts: number;
  readonly topK: number;
  readonly router: RouterConfig;
  readonly norm?: NormKind | undefined;
  readonly eps: number;
  /** Of `normed`, as it is given. Default 1. */
  readonly inputScale?: number | undefined;
  readonly approximate?: Approximation | undefined;
  readonly intervention?: Intervention | undefined;
}

/** What is changed in the choice: see src/kernels/moe/intervention.ts. */
export interface Intervention {
  /** Experts that a token uses, at most `topK` of the size. */
  readonly uses: number;
  /** -Infinity: never chosen; Infinity: always; any other is added to the expert's key. */
  readonly rules: ArrayLike<number>; // [E]
}

/** How routing may differ from the exact one: see src/kernels/moe/route.ts. */
export interface Approximation {
  readonly keepExperts: number;
  readonly dropBelow: number;
  readonly cachePrior: number;
  readonly priorKeep: number;
  /** 0xFFFFFFFF for an expert that is not on the GPU. */
  readonly slotTable: ArrayLike<number>; // [E]
  /** Experts from this id on need no slot. */
  readonly weighted?: number | undefined;
}

export interface Routing {
  readonly normed: Float64Array; // [T, D]
  readonly logits: Float64Array; // [T, E]
  readonly ids: Uint32Array; // [T, K], by descending selection key; of unused pairs the best
  readonly weights: Float64Array; // [T, K]; of unused pairs 0
  readonly sharedWeight: Float64Array; // [T]; empty without a shared gate
}

export function route(input: RouteInput, size: RouteSize): Routing {
  const { tokens, hidden, experts, topK, router, norm = 'rms', eps, approximate, intervention } = size;
  const shape = { tokens, size: hidden, eps };
  const normed = normOf(input, norm, shape);
  const routed = input.early ?? (input.routerGains ? rmsNorm(input.x, input.routerGains, shape) : normed);
  const allLogits = new Float64Array(tokens * experts);
  const ids = new Uint32Array(tokens * topK);
  const weights = new Float64Array(tokens * topK);
  const sharedWeight = new Float64Array(input.sharedGate ? tokens : 0);
  for (let t = 0; t < tokens; t++) {
    const token = normed.subarray(t * hidden, (t + 1) * hidden);
    const rows = router.inner ?? (router.attends ? 3 : 1) * experts;
    const products = Float64Array.from({ length: rows }, (_, e) => {
      const row = Array.from(token, (_v, d) => input.router[e * hidden + d]!);
      const read = Array.from(token, (_v, d) => routed[t * hidden + d]!);
      return dot(read, row);
    });
    const plain = logitsOf(products, input.second, size).map((l, e) => l + (input.logitBias?.[e] ?? 0));
    const logits = router.deviation === undefined ? plain : deviating(plain, router.deviation);
    allLogits.set(logits, t * experts);
    const scores = scoresOf(logits, router.score);
    const chosen = choose(scores, input.selectionBias, size);
    const used = chosen.slice(0, intervention?.uses);
    const own = weightsOf(scores, used, router);
    const pairs = used.map((id, k): Pair => ({ id, weight: own[k]! * (input.expertScale?.[id] ?? 1) }));
    const kept = approximate ? thinned(pairs, approximate) : pairs;
    for (let k = 0; k < topK; k++) {
      const isUsed = k < kept.length && ruleOf(kept[k]!.id, intervention) !== -Infinity;
      ids[t * topK + k] = kept[isUsed ? k : 0]!.id;
      weights[t * topK + k] = isUsed ? kept[k]!.weight : 0;
    }
    if (input.sharedGate) sharedWeight[t] = sigmoid(dot(token, input.sharedGate));
  }
  return { normed: normed.map((v) => v * (size.inputScale ?? 1)), logits: allLogits, ids, weights, sharedWeight };
}

/** From the products with the router's rows. */
function logitsOf(products: Float64Array, second: RouteInput['second'], { experts, router }: RouteSize): Float64Array {
  if (router.attends) return attended(products);
  if (!second) return products;
  const between = products.map(Math.tanh);
  const { length } = between;
  const row = (e: number): number[] => Array.from(between, (_, i) => second[e * length + i]!);
  return Float64Array.from({ length: experts }, (_, e) => dot(row(e), between));
}

/** Of this standard deviation, that of a sample, and as many of them from 0 as they were. */
function deviating(logits: Float64Array, deviation: number): Float64Array {
  const mean = logits.reduce((a, b) => a + b, 0) / logits.length;
  const variance = logits.reduce((sum, z) => sum + (z - mean) ** 2, 0) / (logits.length - 1);
  return logits.map((z) => (z * deviation) / Math.sqrt(variance));
}

/** softmax(q k^T) v of [q, k, v]: a mean of all experts' v for each expert. */
function attended(products: Float64Array): Float64Array {
  const experts = products.length / 3;
  const [k, v] = [products.subarray(experts, 2 * experts), products.subarray(2 * experts)];
  return products.slice(0, experts).map((q) => dot(softmax(k.map((key) => q * key)), v));
}

function normOf({ x, gamma }: RouteInput, norm: NormKind, shape: Parameters<typeof rmsNorm>[2]): Float64Array {
  if (!gamma) return Float64Array.from(x);
  return norm === 'rms' ? rmsNorm(x, gamma, shape) : layerNorm(x, gamma, shape);
}

const ruleOf = (e: number, intervention: Intervention | undefined): number => intervention?.rules[e] ?? 0;

/** K experts by descending key. */
function choose(
  scores: Float64Array,
  selectionBias: ArrayLike<number> | undefined,
  { topK, router, approximate, intervention }: RouteSize,
): number[] {
  const rule = (e: number): number => ruleOf(e, intervention);
  const isMasked = (e: number): boolean => rule(e) === -Infinity;
  const keys = scores.map((score, e) => {
    const key = score + (selectionBias?.[e] ?? 0);
    return isMasked(e) ? LOWEST : Number.isFinite(rule(e)) ? key + rule(e) : key;
  });
  const isKept = router.groups ? keptGroups(keys, router.groups) : (): boolean => true;
  const takesPart = (e: number): boolean => isKept(e) && !isMasked(e);
  const dropped = router.groups?.dropped === 'zero' ? 0 : LOWEST;
  const own = keys.map((key, e) => (isMasked(e) ? -Infinity : isKept(e) ? key : dropped));
  const final = approximate ? raised(own, takesPart, approximate) : own;
  const isForced = (e: number): boolean => rule(e) === Infinity;
  return best(admitted(final, intervention?.uses ?? topK, isForced), topK);
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

function softmax(logits: Float64Array): Float64Array {
  const top = Math.max(...logits);
  const powers = logits.map((l) => Math.exp(l - top));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((p) => p / total);
}

function scoresOf(logits: Float64Array, score: RouterConfig['score']): Float64Array {
  if (score === 'softmax') return softmax(logits);
  if (score === 'sigmoid') return logits.map(sigmoid);
  if (score === 'sqrt-softplus')
    return logits.map((l) => Math.sqrt(Math.max(l, 0) + Math.log1p(Math.exp(-Math.abs(l)))));
  return logits;
}

/** Indices of the `count` largest, largest first; ties go to the lower index. */
function best(keys: ArrayLike<number>, count: number): number[] {
  return Array.from({ length: keys.length }, (_, i) => i)
    .sort((a, b) => (keys[a] === keys[b] ? a - b : keys[b]! > keys[a]! ? 1 : -1))
    .slice(0, count);
}

/** Keys of the first `places` experts when all forced ones come before all others; -Infinity for the others. */
function admitted(keys: Float64Array, places: number, isForced: (e: number) => boolean): Float64Array {
  const order = best(keys, keys.length);
  const first = new Set([...order.filter(isForced), ...order.filter((e) => !isForced(e))].slice(0, places));
  return keys.map((key, e) => (first.has(e) ? key : -Infinity));
}

/** Which experts are in one of the best groups. */
function keptGroups(keys: Float64Array, groups: NonNullable<RouterConfig['groups']>): (e: number) => boolean {
  const size = keys.length / groups.count;
  const ranks = Array.from({ length: groups.count }, (_, g) => {
    const [first, second] = keys.slice(g * size, (g + 1) * size).sort((a, b) => b - a);
    return groups.rank === 'max' ? first! : first! + second!;
  });
  const kept = new Set(best(ranks, groups.keep));
  return (e) => kept.has(Math.floor(e / size));
}

/** Below every key of an expert, above that of a masked one. */
const LOWEST = -Number.MAX_VALUE;

const isMissing = ({ slotTable, weighted = Infinity }: Approximation, e: number): boolean =>
  e < weighted && slotTable[e] === 0xffffffff;

/** Cache-prior routing: keys of experts that are there, or among the best anyway, grow by a share of the span of all keys. */
function raised(keys: Float64Array, takesPart: (e: number) => boolean, a: Approximation): Float64Array {
  if (!(a.cachePrior > 0)) return keys;
  const part = keys.filter((_, e) => takesPart(e));
  const rise = a.cachePrior * (Math.max(...part) - Math.min(...part));
  const top = best(keys, a.priorKeep);
  return keys.map((key, e) => (takesPart(e) && (!isMissing(a, e) || top.includes(e)) ? key + rise : key));
}

interface Pair {
  readonly id: number;
  readonly weight: number;
}

const weightSum = (pairs: readonly Pair[]): number => pairs.reduce((sum, p) => sum + p.weight, 0);

/** Pairs beyond `keepExperts`, and light ones of missing experts, become the best that is kept with weight 0; the kept take over their weight. */
function thinned(pairs: readonly Pair[], a: Approximation): Pair[] {
  const total = weightSum(pairs);
  const isKept = ({ id, weight }: Pair, k: number): boolean =>
    (a.keepExperts === 0 || k < a.keepExperts) && !(isMissing(a, id) && weight < (a.dropBelow / pairs.length) * total);
  const found = pairs.filter(isKept);
  const kept = found.length ? found : pairs.slice(0, 1);
  const keptTotal = weightSum(kept);
  const grow = keptTotal > 0 ? total / keptTotal : 1;
  return pairs.map((p) => (kept.includes(p) ? { id: p.id, weight: p.weight * grow } : { id: kept[0]!.id, weight: 0 }));
}

function weightsOf(scores: Float64Array, chosen: readonly number[], router: RouterConfig): Float64Array {
  const { score, renormalize, scale } = router;
  if (typeof score === 'object') return mixed(scores, chosen, score).map((w) => w * scale);
  const own = Float64Array.from(chosen, (e) => scores[e]!);
  const weights = score === 'softmax-chosen' ? softmax(own) : own;
  const sum = weights.reduce((a, b) => a + b, 0);
  const by = renormalize && ('least' in renormalize ? Math.max(sum, renormalize.least) : sum + renormalize.epsilon);
  return weights.map((w) => (w / (by ?? 1)) * scale);
}

/** Each chosen expert's softmax over the experts near it, without those chosen before. */
function mixed(logits: Float64Array, chosen: readonly number[], { tolerance }: SparseMixer): Float64Array {
  return Float64Array.from(chosen, (e, k) => {
    const largest = logits[e]!;
    let total = 0;
    logits.forEach((logit, other) => {
      const isFar = (largest - logit) / Math.max(Math.abs(logit), largest) > tolerance;
      if (!isFar && !chosen.slice(0, k).includes(other)) total += Math.exp(logit - largest);
    });
    return 1 / total;
  });
}
