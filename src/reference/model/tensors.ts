/** Plain tensors by name, and the product that everything is made of. */
import type { NormKind } from '../../config/model-config.ts';
import type { MatrixName } from '../../families/family.ts';

/** Values of a tensor in plain form and published order; undefined when the checkpoint has none of that name. */
export type Weights = (name: string) => Float64Array | undefined;

export function need(weights: Weights, name: string): Float64Array {
  const found = weights(name);
  if (!found) throw new Error(`no tensor ${name}`);
  return found;
}

/** The values of a matrix with `cols` columns, which may be rows of another. */
export function needMatrix(weights: Weights, name: MatrixName, cols: number): Float64Array {
  if (typeof name === 'string') return need(weights, `${name}.weight`);
  return need(weights, `${name.of}.weight`).slice(name.first * cols, (name.first + name.rows) * cols);
}

/** Its biases. */
export function needBias(weights: Weights, name: MatrixName): Float64Array {
  if (typeof name === 'string') return need(weights, `${name}.bias`);
  return need(weights, `${name.of}.bias`).slice(name.first, name.first + name.rows);
}

/** x [K], w [N, K]; returns w x (+ bias) [N]. */
export function matVec(w: Float64Array, x: Float64Array, bias?: Float64Array | null): Float64Array {
  const rows = w.length / x.length;
  const out = new Float64Array(rows);
  for (let n = 0; n < rows; n++) {
    let sum = bias ? bias[n]! : 0;
    for (let k = 0; k < x.length; k++) sum += w[n * x.length + k]! * x[k]!;
    out[n] = sum;
  }
  return out;
}

export const add = (a: Float64Array, b: Float64Array): Float64Array => a.map((v, i) => v + b[i]!);

export function rmsNormed(x: Float64Array, gamma: Float64Array, eps: number): Float64Array {
  let squares = 0;
  for (const v of x) squares += v * v;
  const scale = 1 / Math.sqrt(squares / x.length + eps);
  return x.map((v, i) => v * scale * gamma[i]!);
}

/** Which norm a model has, as its config says. */
export interface NormOf {
  readonly norm: NormKind;
  readonly normEps: number;
  readonly gainOffset: number;
}

/** @param name of the gains; the biases of a layer norm are beside them */
export function normed(x: Float64Array, weights: Weights, name: string, of: NormOf): Float64Array {
  const { norm: kind, normEps: eps, gainOffset } = of;
  const gains = need(weights, name).map((gain) => gain + gainOffset);
  if (kind === 'rms') return rmsNormed(x, gains, eps);
  const mean = x.reduce((a, b) => a + b, 0) / x.length;
  const variance = x.reduce((a, b) => a + (b - mean) ** 2, 0) / x.length;
  const bias = kind === 'layer-biased' ? need(weights, name.replace(/weight$/, 'bias')) : null;
  return x.map((v, i) => ((v - mean) / Math.sqrt(variance + eps)) * gains[i]! + (bias ? bias[i]! : 0));
}

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

export function softmax(x: Float64Array): Float64Array {
  const most = Math.max(...x);
  const e = x.map((v) => Math.exp(v - most));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / sum);
}
