/** Recurrent token mixers over a whole sequence, straight from their equations: no chunks, no state that is carried between calls. */
import type { DeltaNet, Mamba1, Mamba2, RecurrentConfig } from '../../config/model-config.ts';
import type {
  DeltaNetNames,
  Mamba1Names,
  Mamba2Names,
  RecurrentNames,
  ShortConvolutionNames,
} from '../../families/family.ts';
import { matVec, need, needMatrix, rmsNormed, sigmoid, type Weights } from './tensors.ts';

/** u [T][channels], taps [channels, n]; out[t] = sum over j of taps[j] u[t - n + 1 + j], with nothing before the first token. */
function convolved(u: readonly Float64Array[], taps: Float64Array, bias: Float64Array | null): Float64Array[] {
  const channels = u[0]!.length;
  const n = taps.length / channels;
  return u.map((_, t) =>
    Float64Array.from({ length: channels }, (_, c) => {
      let sum = bias ? bias[c]! : 0;
      for (let j = Math.max(0, n - 1 - t); j < n; j++) sum += taps[c * n + j]! * u[t - n + 1 + j]![c]!;
      return sum;
    }),
  );
}

const silu = (x: Float64Array): Float64Array => x.map((v) => v * sigmoid(v));
const times = (a: Float64Array, b: Float64Array): Float64Array => a.map((value, i) => value * b[i]!);
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

const at = (weights: Weights, name: string | null): Float64Array | null => (name === null ? null : need(weights, name));

/** Cuts every token's values into stretches of these lengths. */
function cut<const N extends readonly number[]>(
  x: readonly Float64Array[],
  lengths: N,
): { [i in keyof N]: Float64Array[] } {
  let from = 0;
  return lengths.map((length) => {
    const begin = from;
    from += length;
    return x.map((token) => token.slice(begin, begin + length));
  }) as { [i in keyof N]: Float64Array[] };
}

function shortConvolution(x: readonly Float64Array[], n: ShortConvolutionNames, w: Weights): Float64Array[] {
  const hidden = x[0]!.length;
  const inProj = need(w, `${n.inProj}.weight`);
  const [b, c, v] = cut(
    x.map((token) => matVec(inProj, token)),
    [hidden, hidden, hidden],
  );
  const gated = v.map((token, t) => times(token, b[t]!));
  return convolved(gated, need(w, n.conv), null).map((token, t) => times(token, c[t]!));
}

/** One channel of Mamba over all tokens: its input, its steps, B and C of its group, its decay by state. */
function scanned(
  x: readonly number[],
  dt: readonly number[],
  b: readonly Float64Array[],
  c: readonly Float64Array[],
  a: (n: number) => number,
): number[] {
  const states = new Float64Array(b[0]!.length);
  return x.map((input, t) => {
    let y = 0;
    for (let n = 0; n < states.length; n++) {
      states[n] = Math.exp(dt[t]! * a(n)) * states[n]! + dt[t]! * input * b[t]![n]!;
      y += states[n]! * c[t]![n]!;
    }
    return y;
  });
}

/** Channel by channel to token by token. */
const turned = (channels: readonly (readonly number[])[]): Float64Array[] =>
  channels[0]!.map((_, t) => Float64Array.from(channels, (channel) => channel[t]!));

function mamba1(x: readonly Float64Array[], m: Mamba1, n: Mamba1Names, w: Weights, eps: number): Float64Array[] {
  const { channels, states, rank } = m;
  const inProj = need(w, `${n.inProj}.weight`);
  const [u, z] = cut(
    x.map((token) => matVec(inProj, token)),
    [channels, channels],
  );
  const v = convolved(u, need(w, n.conv), at(w, n.convBias)).map(silu);
  const select = need(w, `${n.selectProj}.weight`);
  const [low, b, c] = cut(
    v.map((token) => matVec(select, token)),
    [rank, states, states],
  );
  const normed = (tokens: readonly Float64Array[], name: string): Float64Array[] =>
    tokens.map((token) => rmsNormed(token, need(w, name), eps));
  const stepProj = need(w, `${n.stepProj}.weight`);
  const stepBias = need(w, `${n.stepProj}.bias`);
  const dt = normed(low, n.stepNorm).map((token) => matVec(stepProj, token, stepBias).map(softplus));
  const [bs, cs] = [normed(b, n.bNorm), normed(c, n.cNorm)];
  const aLog = need(w, n.aLog);
  const skip = need(w, n.skip);
  const y = turned(
    Array.from({ length: channels }, (_, d) => {
      const input = v.map((token) => token[d]!);
      const steps = dt.map((token) => token[d]!);
      const out = scanned(input, steps, bs, cs, (i) => -Math.exp(aLog[d * states + i]!));
      return out.map((value, t) => value + skip[d]! * input[t]!);
    }),
  );
  return y.map((token, t) => times(token, silu(z[t]!)));
}

function mamba2(x: readonly Float64Array[], m: Mamba2, n: Mamba2Names, w: Weights, eps: number): Float64Array[] {
  const { heads, headSize, groups, states, stepLimits, normGroups } = m;
  const channels = heads * headSize;
  const inProj = need(w, `${n.inProj}.weight`);
  const [z, xbc, raw] = cut(
    x.map((token) => matVec(inProj, token)),
    [channels, channels + 2 * groups * states, heads],
  );
  const mixed = convolved(xbc, need(w, n.conv), at(w, n.convBias)).map(silu);
  const [v, b, c] = cut(mixed, [channels, groups * states, groups * states]);
  const [stepBias, aLog, skip] = [need(w, n.stepBias), need(w, n.aLog), need(w, n.skip)];
  const y = turned(
    Array.from({ length: channels }, (_, d) => {
      const h = Math.floor(d / headSize);
      const g = Math.floor(h / (heads / groups));
      const ofGroup = (tokens: readonly Float64Array[]): Float64Array[] =>
        tokens.map((token) => token.slice(g * states, (g + 1) * states));
      const input = v.map((token) => token[d]!);
      const clamped = (dt: number): number => Math.min(Math.max(dt, stepLimits[0]), stepLimits[1]);
      const steps = raw.map((token) => clamped(softplus(token[h]! + stepBias[h]!)));
      const out = scanned(input, steps, ofGroup(b), ofGroup(c), () => -Math.exp(aLog[h]!));
      return out.map((value, t) => value + skip[h]! * input[t]!);
    }),
  );
  const gated = y.map((token, t) => times(token, silu(z[t]!)));
  const gamma = need(w, n.norm);
  const size = channels / normGroups;
  return gated.map((token) => {
    const stretches = Array.from({ length: normGroups }, (_, g) => [g * size, (g + 1) * size] as const);
    return Float64Array.from(stretches.flatMap(([i, j]) => [...rmsNormed(token.slice(i, j), gamma.slice(i, j), eps)]));
  });
}

const unit = (x: Float64Array): Float64Array => {
  const length = Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) + 1e-6);
  return x.map((v) => v / length);
};

/** One head of a gated delta net over all tokens. */
function deltaRule(
  q: readonly Float64Array[],
  k: readonly Float64Array[],
  v: readonly Float64Array[],
  fades: readonly number[],
  writes: readonly number[],
): Float64Array[] {
  const state = v[0]!.length === 0 ? [] : Array.from(v[0]!, () => new Float64Array(k[0]!.length));
  const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  return v.map((value, t) =>
    value.map((wanted, j) => {
      const s = state[j]!.map((x) => x * fades[t]!);
      const delta = (wanted - dot(s, k[t]!)) * writes[t]!;
      state[j] = s.map((x, n) => x + delta * k[t]![n]!);
      return dot(state[j], q[t]!);
    }),
  );
}

function deltaNet(x: readonly Float64Array[], m: DeltaNet, n: DeltaNetNames, w: Weights, eps: number): Float64Array[] {
  const { heads, keyHeads, keySize, valueSize } = m;
  const [keys, values] = [keyHeads * keySize, heads * valueSize];
  const inProj = n.inProj.map((name) => needMatrix(w, name, x[0]!.length));
  const rows = x.map((token) => Float64Array.from(inProj.flatMap((part) => [...matVec(part, token)])));
  const [qkv, z, b, a] = cut(rows, [2 * keys + values, values, heads, heads]);
  const [q, k, v] = cut(convolved(qkv, need(w, n.conv), null).map(silu), [keys, keys, values]);
  const [aLog, bias, gamma] = [need(w, n.aLog), need(w, n.stepBias), need(w, n.norm)];
  const ofHead = (tokens: readonly Float64Array[], h: number, size: number): Float64Array[] =>
    tokens.map((token) => token.slice(h * size, (h + 1) * size));
  const out = Array.from({ length: heads }, (_, h) => {
    const g = Math.floor(h / (heads / keyHeads));
    const queries = ofHead(q, g, keySize).map((token) => unit(token).map((value) => value * keySize ** -0.5));
    const fades = a.map((token) => Math.exp(-Math.exp(aLog[h]!) * softplus(token[h]! + bias[h]!)));
    const writes = b.map((token) => sigmoid(token[h]!));
    const y = deltaRule(queries, ofHead(k, g, keySize).map(unit), ofHead(v, h, valueSize), fades, writes);
    return y.map((token) => rmsNormed(token, gamma, eps));
  });
  return z.map((gates, t) => times(Float64Array.from(out.flatMap((head) => [...head[t]!])), silu(gates)));
}

function mixed(
  x: readonly Float64Array[],
  config: RecurrentConfig,
  names: RecurrentNames,
  weights: Weights,
  eps: number,
): Float64Array[] {
  if (config.kind === 'short-conv' && names.kind === 'short-conv') return shortConvolution(x, names, weights);
  if (config.kind === 'mamba-1' && names.kind === 'mamba-1') return mamba1(x, config, names, weights, eps);
  if (config.kind === 'mamba-2' && names.kind === 'mamba-2') return mamba2(x, config, names, weights, eps);
  if (config.kind === 'delta-net' && names.kind === 'delta-net') return deltaNet(x, config, names, weights, eps);
  throw new Error('names of another kind than the config');
}

/** x: normed tokens [T][D]; returns what joins the residual, [T][D]. `eps` is for the norms inside. */
export function recurrentMixer(
  x: readonly Float64Array[],
  config: RecurrentConfig,
  names: RecurrentNames,
  weights: Weights,
  eps: number,
): Float64Array[] {
  const outProj = need(weights, `${names.outProj}.weight`);
  return mixed(x, config, names, weights, eps).map((token) => matVec(outProj, token));
}
