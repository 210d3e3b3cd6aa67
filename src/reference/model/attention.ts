/** Attention over a whole sequence: every key and value is made in full, also for latent attention. */
import type { AttentionConfig, GroupedAttention, LatentAttention, RopeConfig } from '../../config/model-config.ts';
import type { GroupedAttentionNames, LatentAttentionNames, MatrixName } from '../../families/family.ts';
import { matVec, need, needBias, needMatrix, rmsNormed, sigmoid, type Weights } from './tensors.ts';

/** Rotates the first values of `head` by its position; the rest passes through. */
function rotated(head: Float64Array, position: number, rope: RopeConfig): Float64Array {
  const { inverseFrequencies, amplitude, interleaved } = rope;
  const pairs = inverseFrequencies.length;
  const out = head.slice();
  inverseFrequencies.forEach((frequency, j) => {
    const [a, b] = interleaved ? [2 * j, 2 * j + 1] : [j, j + pairs];
    const cos = Math.cos(position * frequency) * amplitude;
    const sin = Math.sin(position * frequency) * amplitude;
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
  readonly sinks: Float64Array | null;
}

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, v, i) => sum + v * b[i]!, 0);

/** One head of one query over all keys it may see. */
function attendHead({ q, k, v }: Heads, t: number, h: number, { scale, window, sinks }: Mask): Float64Array {
  const kvHead = Math.floor(h / (q[0]!.length / k[0]!.length));
  const first = window === null ? 0 : Math.max(0, t - window + 1);
  const scores: number[] = [];
  for (let s = first; s <= t; s++) scores.push(dot(q[t]![h]!, k[s]![kvHead]!) * scale);
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

function groupedHeads(
  x: readonly Float64Array[],
  c: GroupedAttention,
  n: GroupedAttentionNames,
  w: Weights,
  eps: number,
): Heads {
  const bias = (name: MatrixName): Float64Array | null => (c.bias.qkv ? needBias(w, name) : null);
  const stretches = typeof n.q === 'string' || 'of' in n.q ? [n.q] : n.q;
  const project = (names: readonly MatrixName[], normName: string | null): Float64Array[][] =>
    x.map((token) => {
      let all = joined(names.map((name) => matVec(needMatrix(w, name, token.length), token, bias(name))));
      if (normName && c.qkNorm === 'full') all = rmsNormed(all, need(w, normName), eps);
      const { clip } = c;
      if (clip !== null) all = all.map((v) => Math.max(-clip, Math.min(clip, v)));
      const heads = split(all, c.headSize);
      return normName && c.qkNorm === 'per-head' ? heads.map((h) => rmsNormed(h, need(w, normName), eps)) : heads;
    });
  const turned = (heads: Float64Array[][], normName: string | null): Float64Array[][] =>
    heads.map((token, t) =>
      token.map((h) => {
        const out = rotated(h, t, c.rope);
        return normName && c.qkNorm === 'per-head-rotated' ? rmsNormed(out, need(w, normName), eps) : out;
      }),
    );
  const q = turned(project(stretches, n.qNorm), n.qNorm);
  return { q, k: turned(project([n.k], n.kNorm), n.kNorm), v: project([n.v], null) };
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

/** x: normed tokens [T][D]; returns what joins the residual, [T][D]. `eps` is for the norms of q and k. */
export function attention(
  x: readonly Float64Array[],
  config: AttentionConfig,
  names: GroupedAttentionNames | LatentAttentionNames,
  weights: Weights,
  eps: number,
): Float64Array[] {
  const o = need(weights, `${names.o}.weight`);
  if (config.kind === 'latent' && names.kind === 'latent') {
    const heads = latentHeads(x, config, names, weights);
    return attend(heads, { scale: config.scale, window: null, sinks: null }).map((y) => matVec(o, y));
  }
  if (config.kind !== 'grouped' || names.kind !== 'grouped') throw new Error('names of another kind than the config');
  const heads = groupedHeads(x, config, names, weights, eps);
  const sinks = names.sinks === null ? null : need(weights, names.sinks);
  const bias = config.bias.o ? need(weights, `${names.o}.bias`) : null;
  const { outputGate } = names;
  const attended = attend(heads, { scale: config.scale, window: config.window, sinks });
  const gated = attended.map((y, t) => {
    if (!outputGate) return y;
    const gates = joined(outputGate.map((name) => matVec(needMatrix(weights, name, x[t]!.length), x[t]!)));
    return y.map((value, i) => value * sigmoid(gates[i]!));
  });
  return gated.map((y) => matVec(o, y, bias));
}
