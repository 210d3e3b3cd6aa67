/** Recurrent token mixers over a whole sequence, straight from their equations: no chunks, no state that is carried between calls. */
import type { RecurrentConfig } from '../../config/model-config.ts';
import type { RecurrentNames } from '../../families/family.ts';
import { matVec, need, type Weights } from './tensors.ts';

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

/** x: normed tokens [T][D]; returns what joins the residual, [T][D]. */
export function recurrentMixer(
  x: readonly Float64Array[],
  _config: RecurrentConfig,
  names: RecurrentNames,
  weights: Weights,
): Float64Array[] {
  const hidden = x[0]!.length;
  const projected = x.map((token) => matVec(need(weights, `${names.inProj}.weight`), token));
  const [b, c, v] = [0, 1, 2].map((i) => projected.map((p) => p.slice(i * hidden, (i + 1) * hidden)));
  const y = convolved(
    v!.map((token, t) => token.map((value, d) => value * b![t]![d]!)),
    need(weights, names.conv),
    null,
  );
  return y.map((token, t) =>
    matVec(
      need(weights, `${names.outProj}.weight`),
      token.map((value, d) => value * c![t]![d]!),
    ),
  );
}
