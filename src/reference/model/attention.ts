/** Attention over a whole sequence: every key and value is made in full, also for latent attention. */
import type { AttentionConfig, GroupedAttention, LatentAttention, RopeConfig } from '../../config/model-config.ts';
import type { GroupedAttentionNames, LatentAttentionNames, MatrixName } from '../../families/family.ts';
import { bf16ToF32, f32ToBf16 } from '../../util/half.ts';
import { convolveHeads } from '../attention/convolve_heads.ts';
import { filtered } from './filter.ts';
import {
  matVec,
  need,
  needBias,
  needMatrix,
  normed,
  rmsNormed,
  sigmoid,
  type NormOf,
  type Weights,
  softmax,
} from './tensors.ts';

/** Rotates the first values of `head` by its position; the rest passes through. */
function rotated(head: Float64Array, position: number, rope: RopeConfig): Float64Array {
  const { inverseFrequencies, amplitude, interleaved, rounded = false } = rope;
  const near = (value: number): number => (rounded ? bf16ToF32(f32ToBf16(value)) : value);
  const pairs = inverseFrequencies.length;
  const out = head.slice();
  inverseFrequencies.forEach((frequency, j) => {
    const [a, b] = interleaved ? [2 * j, 2 * j + 1] : [j, j + pairs];
    const angle = near(near(position) * near(frequency));
    const cos = near(Math.cos(angle)) * amplitude;
    const sin = near(Math.sin(angle)) * amplitude;
    out[a] = head[a]! * cos - head[b]! * sin;
    out[b] = head[b]! * cos + head[a]! * sin;
  });
  return out;
}

const split = (x: Float64Array, size: number): Float64Array[] =>
  Array.from({ length: x.length / size }, (_, h) => x.slice(h * size, (h + 1) * size));

function joined(parts: readonly Float64Array[]): Float64Array {
  const out = new Float64Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Heads of every token: q[t][h], k[t][h], v[t][h]; several q heads share one k and v head. */
interface Heads {
  readonly q: readonly Float64Array[][];
  readonly k: readonly Float64Array[][];
  readonly v: readonly Float64Array[][];
}

interface Mask {
  readonly scale: number;
  readonly window: number | null;
  readonly chunked?: boolean;
  readonly softcap?: number | undefined;
  readonly sinks: Float64Array | null;
}

/** The first key that the query at `t` sees. */
function firstOf(t: number, { window, chunked = false }: Mask): number {
  if (window === null) return 0;
  return chunked ? Math.floor(t / window) * window : Math.max(0, t - window + 1);
}

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, v, i) => sum + v * b[i]!, 0);

/** One head of one query over all keys it may see. */
function attendHead({ q, k, v }: Heads, t: number, h: number, mask: Mask): Float64Array {
  const { scale, softcap, sinks } = mask;
  const kvHead = Math.floor(h / (q[0]!.length / k[0]!.length));
  const first = firstOf(t, mask);
  const scores: number[] = [];
  for (let s = first; s <= t; s++) {
    const score = dot(q[t]![h]!, k[s]![kvHead]!) * scale;
    scores.push(softcap === undefined ? score : softcap * Math.tanh(score / softcap));
  }
  const sink = sinks ? sinks[h]! : -Infinity;
  const most = Math.max(sink, ...scores);
  const weights = scores.map((s) => Math.exp(s - most));
  const sum = weights.reduce((a, b) => a + b, Math.exp(sink - most));
  const out = new Float64Array(v[0]![0]!.length);
  weights.forEach((w, i) => v[first + i]![kvHead]!.forEach((value, d) => (out[d]! += (w / sum) * value)));
  return out;
}

function attend(heads: Heads, mask: Mask): Float64Array[] {
  return heads.q.map((q, t) => joined(q.map((_, h) => attendHead(heads, t, h, mask))));
}

/** The stretches of a matrix that may lie in one piece. */
const stretches = (names: MatrixName | readonly MatrixName[]): readonly MatrixName[] =>
  typeof names === 'string' || 'of' in names ? [names] : names;

function heated(head: Float64Array, t: number, { temperature }: GroupedAttention): Float64Array {
  if (!temperature) return head;
  const by = 1 + temperature.scale * Math.log(1 + Math.floor((t + 1) / temperature.every));
  return head.map((value) => value * by);
}

function groupedHeads(
  x: readonly Float64Array[],
  c: GroupedAttention,
  n: GroupedAttentionNames,
  w: Weights,
  norm: NormOf,
): Heads {
  const plain = (values: Float64Array): Float64Array =>
    rmsNormed(
      values,
      values.map(() => 1),
      norm.normEps,
    );
  const rms = (values: Float64Array, name: string | null): Float64Array =>
    name === null ? plain(values) : normed(values, w, name, { ...norm, norm: 'rms' });
  if (c.convolved) return convolvedHeads(x, c, n, w);
  const bias = (name: MatrixName): Float64Array | null => (c.bias.qkv ? needBias(w, name) : null);
  const read = c.filter && n.filter ? filtered(x, n.filter, w, c.filter.normEps) : x;
  const project = (names: readonly MatrixName[], normName: string | null, norms = true): Float64Array[][] =>
    (norms ? read : x).map((token) => {
      let all = joined(names.map((name) => matVec(needMatrix(w, name, token.length), token, bias(name))));
      if (norms && c.qkNorm === 'full') all = rms(all, normName);
      const { clip } = c;
      if (clip !== null) all = all.map((v) => Math.max(-clip, Math.min(clip, v)));
      const heads = split(all, c.headSize);
      return norms && c.qkNorm === 'per-head' ? heads.map((h) => rms(h, normName)) : heads;
    });
  const turned = (heads: Float64Array[][], normName: string | null): Float64Array[][] =>
    heads.map((token, t) =>
      token.map((h) => {
        const out = rotated(h, t, c.rope);
        return c.qkNorm === 'per-head-rotated' ? rms(out, normName) : out;
      }),
    );
  const q = turned(project(stretches(n.q), n.qNorm), n.qNorm).map((token, t) => token.map((h) => heated(h, t, c)));
  const v = project([n.v], null, false).map((token) => (c.valueNorm ? token.map(plain) : token));
  return { q, k: turned(project(stretches(n.k), n.kNorm), n.kNorm), v };
}

/** Of projections from position 0 on. */
function convolvedHeads(x: readonly Float64Array[], c: GroupedAttention, n: GroupedAttentionNames, w: Weights): Heads {
  const { channels, heads: grouped, lengths, delayed } = n.convolution!;
  const names = [...stretches(n.q), ...stretches(n.k), n.v, delayed];
  const projected = x.map((token) => joined(names.map((name) => matVec(needMatrix(w, name, token.length), token))));
  const vectors = [`${channels}.weight`, `${channels}.bias`, `${grouped}.bias`, lengths].map((name) => need(w, name));
  const io = { x: joined(projected), channels: joined(vectors), weights: need(w, `${grouped}.weight`), state: [] };
  const { out } = convolveHeads(io, { ...c, tokens: x.length, position: 0, side: 0 });
  const heads = split(out, c.headSize);
  const row = c.heads + 2 * c.kvHeads;
  const of = (t: number, from: number, count: number): Float64Array[] =>
    heads.slice(t * row + from, t * row + from + count);
  const turned = (token: Float64Array[], t: number): Float64Array[] => token.map((h) => rotated(h, t, c.rope));
  return {
    q: x.map((_, t) => turned(of(t, 0, c.heads), t)),
    k: x.map((_, t) => turned(of(t, c.heads, c.kvHeads), t)),
    v: x.map((_, t) => of(t, c.heads + c.kvHeads, c.kvHeads)),
  };
}

function latentHeads(x: readonly Float64Array[], c: LatentAttention, n: LatentAttentionNames, w: Weights): Heads {
  const weight = (name: string): Float64Array => need(w, `${name}.weight`);
  const query = (token: Float64Array): Float64Array => {
    if ('direct' in n.q) return matVec(weight(n.q.direct), token);
    const latent = rmsNormed(matVec(weight(n.q.down), token), need(w, n.q.norm), c.innerNormEps);
    return matVec(weight(n.q.up), latent);
  };
  const q: Float64Array[][] = [];
  const k: Float64Array[][] = [];
  const v: Float64Array[][] = [];
  x.forEach((token, t) => {
    q.push(
      split(query(token), c.nopeSize + c.ropeSize).map((head) =>
        joined([head.slice(0, c.nopeSize), rotated(head.slice(c.nopeSize), t, c.rope)]),
      ),
    );
    const down = matVec(weight(n.kvDown), token);
    const latent = rmsNormed(down.slice(0, c.kvRank), need(w, n.kvNorm), c.innerNormEps);
    const sharedKey = rotated(down.slice(c.kvRank), t, c.rope);
    const up = split(matVec(weight(n.kvUp), latent), c.nopeSize + c.valueSize);
    k.push(up.map((head) => joined([head.slice(0, c.nopeSize), sharedKey])));
    v.push(up.map((head) => head.slice(c.nopeSize)));
  });
  return { q, k, v };
}

/** Slot after slot, as published: the heads of the first chosen expert over all k and v heads, then those of the next. */
function mixtureOfHeads(
  x: readonly Float64Array[],
  c: GroupedAttention,
  n: GroupedAttentionNames,
  w: Weights,
): Float64Array[] {
  const { topK, experts } = c.mixture!;
  const { router, out } = n.mixture!;
  const hidden = x[0]!.length;
  const width = c.kvHeads * c.headSize;
  const ofExpert = (name: string, e: number): Float64Array =>
    need(w, name).slice(e * width * hidden, (e + 1) * width * hidden);
  const logits = x.map((token) => matVec(need(w, `${router}.weight`), token));
  const chosen = logits.map((own) =>
    Array.from({ length: experts }, (_, e) => e)
      .sort((a, b) => own[b]! - own[a]! || a - b)
      .slice(0, topK),
  );
  const project = (name: MatrixName, token: Float64Array): Float64Array[] =>
    split(matVec(needMatrix(w, name, hidden), token), c.headSize);
  const k = x.map((token, t) => project(stretches(n.k)[0]!, token).map((h) => rotated(h, t, c.rope)));
  const v = x.map((token) => project(n.v, token));
  const bias = c.bias.o ? need(w, `${n.o}.bias`) : new Float64Array(hidden);
  const sums = x.map(() => bias.slice());
  for (let slot = 0; slot < topK; slot++) {
    const q = x.map((token, t) => {
      const heads = split(matVec(ofExpert(n.q as string, chosen[t]![slot]!), token), c.headSize);
      return heads.map((h) => rotated(h, t, c.rope));
    });
    attend({ q, k, v }, { scale: c.scale, window: c.window, sinks: null }).forEach((y, t) => {
      const weight = softmax(Float64Array.from(chosen[t]!, (e) => logits[t]![e]!))[slot]!;
      matVec(ofExpert(out, chosen[t]![slot]!), y).forEach((value, d) => (sums[t]![d]! += weight * value));
    });
  }
  return sums;
}

/** What the value `i` of a token's attention is multiplied by. */
function opened(gates: Float64Array, i: number, { headSize, outputGate }: GroupedAttention): number {
  const gate = gates[outputGate!.of === 'head' ? Math.floor(i / headSize) : i]!;
  return outputGate!.by === 'softplus' ? Math.log1p(Math.exp(gate)) : sigmoid(gate);
}

/** x: normed tokens [T][D]; returns what joins the residual, [T][D]. `norm` is for q and k, which have RMS norms. */
export function attention(
  x: readonly Float64Array[],
  config: AttentionConfig,
  names: GroupedAttentionNames | LatentAttentionNames,
  weights: Weights,
  norm: NormOf,
): Float64Array[] {
  if (config.kind === 'latent' && names.kind === 'latent') {
    const o = need(weights, `${names.o}.weight`);
    const heads = latentHeads(x, config, names, weights);
    return attend(heads, { scale: config.scale, window: null, sinks: null }).map((y) => matVec(o, y));
  }
  if (config.kind !== 'grouped' || names.kind !== 'grouped') throw new Error('names of another kind than the config');
  if (config.mixture && names.mixture) return mixtureOfHeads(x, config, names, weights);
  const o = need(weights, `${names.o}.weight`);
  const heads = groupedHeads(x, config, names, weights, norm);
  const sinks = names.sinks === null ? null : need(weights, names.sinks);
  const bias = config.bias.o ? need(weights, `${names.o}.bias`) : null;
  const open = names.gate && config.outputGate ? stretches(names.gate) : null;
  const { scale, window, chunked = false, softcap } = config;
  return attend(heads, { scale, window, chunked, softcap, sinks }).map((y, t) => {
    const gates = open && joined(open.map((name) => matVec(needMatrix(weights, name, x[t]!.length), x[t]!)));
    return matVec(o, gates ? y.map((v, i) => v * opened(gates, i, config)) : y, bias);
  });
}
