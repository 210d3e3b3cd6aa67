/**
 * A whole forward pass in doubles, straight from the checkpoint's tensors: a second implementation next to the engine's, for bisecting a
 * wrong answer layer by layer. No cache, no batching: all tokens of a sequence at once, plain loops.
 */
import type { MixerConfig, ModelConfig } from '../config/model-config.ts';
import type { JoinNames, TensorNames } from '../families/family.ts';
import { mix } from './model/mix.ts';
import { feedForward, type Route, type RouteChange } from './model/moe.ts';
import { add, matVec, need, normed, type Weights } from './model/tensors.ts';

export type { Route, RouteChange, Weights };

export interface ReferenceRun {
  /** The residual stream: after the embedding, then after each layer; [L + 1][T][D]. */
  readonly hidden: readonly (readonly Float64Array[])[];
  /** After the final norm, [T][D]. */
  readonly final: readonly Float64Array[];
  /** [T][V] */
  readonly logits: readonly Float64Array[];
  /** By MoE layer, counted among MoE layers: [M][T]. */
  readonly routes: readonly (readonly Route[])[];
  /** Of the routers, before scores, [M][T][E]. */
  readonly routerLogits: readonly (readonly Float64Array[])[];
}

/** The mixer with the rotation that a context of so many tokens has. */
function turning(mixer: MixerConfig, context: number): MixerConfig {
  if (!('rope' in mixer) || !mixer.rope.long || context <= mixer.rope.long.beyond) return mixer;
  return { ...mixer, rope: { ...mixer.rope, ...mixer.rope.long } };
}

/** gain (y + bias) + gain (x + bias), value by value. */
function joined(y: Float64Array, x: Float64Array | null, weights: Weights, names: JoinNames | undefined): Float64Array {
  const of = (values: Float64Array, { gain, bias }: Omit<JoinNames, 'stream'>): Float64Array => {
    const [gains, biases] = [need(weights, gain), need(weights, bias)];
    return values.map((value, d) => (value + biases[d]!) * gains[d]!);
  };
  return x ? add(of(y, names!), of(x, names!.stream!)) : of(y, names!);
}

/**
 * @param ids tokens of one sequence from position 0, each below V
 * @param changes of the choice of experts, by MoE layer
 * @param context the tokens that the context holds, for rotations that differ by it
 */
export function referenceModel(
  config: ModelConfig,
  names: TensorNames,
  weights: Weights,
  ids: ArrayLike<number>,
  changes: readonly (RouteChange | undefined)[] = [],
  context = ids.length,
): ReferenceRun {
  const { hidden: size } = config;
  const embed = need(weights, `${names.embed}.weight`);
  let x: Float64Array[] = Array.from(ids, (id) =>
    embed.slice(id * size, (id + 1) * size).map((v) => v * config.embeddingScale),
  );
  if (config.joinGains) x = x.map((y) => joined(y, null, weights, names.embedJoin));
  const hidden = [x];
  let states: readonly Float64Array[] | null = null;
  const routes: Route[][] = [];
  const routerLogits: Float64Array[][] = [];
  const atNorm = (name: string | undefined, of = x): Float64Array[] =>
    config.preNorms ? of.map((token) => normed(token, weights, name!, config)) : of;
  const join = (sum: readonly Float64Array[], postNorm: string | undefined, gains: JoinNames | undefined): void => {
    if (config.joinGains) {
      x = x.map((token, t) => joined(sum[t]!, token, weights, gains));
      return;
    }
    const out = config.postNorms ? sum.map((token) => normed(token, weights, postNorm!, config)) : sum;
    x = x.map((token, t) =>
      add(
        token,
        out[t]!.map((v) => v * config.residualScale),
      ),
    );
  };
  config.layers.forEach((layer, i) => {
    const n = names.layer(i);
    const layerInput = x;
    const mixer = turning(layer.mixer, context);
    join(mix(atNorm(n.mixerNorm), mixer, n.mixer, weights, config), n.mixerPostNorm, n.mixerJoin);
    if (layer.ffn.kind === 'none') {
      hidden.push(x);
      return;
    }
    const around = { stream: x, layerInput, states, norm: config };
    const reads = layer.ffn.kind === 'moe' && layer.ffn.reads === 'layer' ? layerInput : x;
    const ffn = feedForward(atNorm(n.ffnNorm!, reads), layer.ffn, n.ffn, weights, around, changes[routes.length]);
    join(ffn.out, n.ffnPostNorm, n.ffnJoin);
    states = ffn.states ?? states;
    if (layer.outScale) {
      const by = need(weights, n.outScale!)[0]!;
      x = x.map((token) => token.map((value) => value * by));
    }
    if (ffn.routes) {
      routes.push(ffn.routes);
      routerLogits.push(ffn.logits);
    }
    hidden.push(x);
  });
  const normEps = config.finalNormEps ?? config.normEps;
  const final = x.map((token) => normed(token, weights, names.finalNorm, { ...config, normEps }));
  const head = names.head === null ? embed : need(weights, `${names.head}.weight`);
  const bias = config.head.bias ? need(weights, `${names.head ?? names.embed}.bias`) : null;
  const { scale, softcap } = config.head;
  const capped = (logit: number): number => (softcap === undefined ? logit : softcap * Math.tanh(logit / softcap));
  const logits = final.map((token) => matVec(head, token, bias).map((v) => capped(v * scale)));
  return { hidden, final, logits, routes, routerLogits };
}
