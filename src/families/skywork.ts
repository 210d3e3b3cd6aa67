/**
 * Skywork-MoE: a Llama whose logits of experts are spread to a deviation that the config gives. The release is named as Mixtral is; a gate of two maps,
 * which the training code has besides, comes with names of its own. Without experts it is Skywork-13B.
 */
import { LIMITS, readActivation, readBase, readHeads, readWidth } from '../config/axes.ts';
import type { DenseFfn, FfnConfig, MoeFfn } from '../config/model-config.ts';
import type { ConfigReader, Json } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import { stackedRows, type ExpertStorage, type Family, type LayerNames, type TensorNames } from './family.ts';
import { llamaNames, separateExperts, type MoeNaming } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

/** Values between the two maps of a gate, for each expert. */
const INNER = 8;
/** The block that has such a gate. */
const TWO_MAPS = 'mlp.moe';

const isInteger = (item: Json): item is number => Number.isInteger(item);

/** One number, or a list of it for layers that are all alike; null where the file has none. */
function readExpertCount(c: ConfigReader): number | null {
  const found = c.raw('num_local_experts', 'num_experts');
  if (found === undefined) return null;
  const [count = null, ...more] = [found].flat();
  if (!isInteger(count) || count < 2 || count > LIMITS.experts || more.some((other) => other !== count))
    c.fail('num_experts', `the same number, from 2 to ${LIMITS.experts}, for all layers`);
  return count;
}

/** Inputs of experts are doubled by code for gates of two maps only: that for the release never does. */
function readGate(c: ConfigReader, experts: number): Pick<MoeFfn, 'router' | 'inputScale'> {
  const isMixtral = c.boolean('moe_use_mixtral_gating', false); // weights come to the same: softmax over the chosen
  const isSpread = c.boolean('moe_use_logits_norm', false);
  const deviation = c.number('moe_gate_norm_std', { min: 1e-6, fallback: 1 });
  const isUnscaled = c.boolean('moe_feature_no_mul_topk', false);
  const router = softmaxRouter({ renormalize: { epsilon: 0 }, ...(isSpread && { deviation }) });
  if (!c.boolean('moe_2layer_gate', false)) return { router };
  if (INNER * experts > LIMITS.inner) c.fail('moe_2layer_gate', `false with more than ${LIMITS.inner / INNER} experts`);
  return { router: { ...router, inner: INNER * experts }, ...(!isMixtral && !isUnscaled && { inputScale: 2 }) };
}

function readFfn(c: ConfigReader): (layer: number) => FfnConfig {
  const dense: DenseFfn = { kind: 'dense', width: readWidth(c, 'intermediate_size'), activation: readActivation(c) };
  const experts = readExpertCount(c);
  if (experts === null) return () => dense;
  const topK = c.integer('num_experts_per_tok', { max: Math.min(experts, LIMITS.topK), fallback: 2 });
  const moe: MoeFfn = {
    ...dense,
    kind: 'moe',
    experts,
    topK,
    expertBias: false,
    ...readGate(c, experts),
    shared: null,
  };
  const interval = c.integer('moe_expert_interval', { max: LIMITS.layers, fallback: 1 });
  return (layer) => ((layer + 1) % interval === 0 ? moe : dense);
}

const RELEASED: MoeNaming = {
  block: 'block_sparse_moe',
  router: 'gate',
  experts: separateExperts(['w1', 'w3', 'w2']),
};

/** Gate and up lie in one matrix. */
const trainedExperts =
  (width: number): MoeNaming['experts'] =>
  (block) =>
    ['experts', 'experts.experts'].map((list): ExpertStorage => ({
      kind: 'separate',
      expert(e) {
        const [gate, up] = stackedRows(`${block}.${list}.${e}.w_up_proj`, [width, width]);
        return { gate, up, down: `${block}.${list}.${e}.w_down_proj` };
      },
    }));

function withSecondMap(layer: string, names: LayerNames): LayerNames {
  if (names.ffn.kind !== 'moe') return names;
  return { ...names, ffn: { ...names.ffn, routerSecond: `${layer}.${TWO_MAPS}.gate.wg.2` } };
}

export const skywork: Family = {
  id: 'skywork',
  modelTypes: ['skywork_moe', 'skywork'],
  architectures: ['SkyworkMoeForCausalLM', 'SkyworkForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'skywork');
    const heads = readHeads(c, model.hidden);
    const { rope } = readRope(c, { headSize: heads.headSize, maxContext: model.maxContext, theta: 10_000 })(
      'full_attention',
    );
    const mixer = groupedAttention(heads, rope);
    const ffn = readFfn(c);
    return { ...model, layers: Array.from({ length: layerCount }, (_, i) => ({ mixer, ffn: ffn(i) })) };
  },

  names(config): TensorNames {
    const gated = config.layers.map(({ ffn }) => ffn).find((ffn) => ffn.kind === 'moe' && ffn.router.inner);
    if (gated?.kind !== 'moe') return llamaNames(config, RELEASED);
    const experts = trainedExperts(gated.width);
    const names = llamaNames(config, { block: TWO_MAPS, router: 'gate.wg.0', experts });
    return { ...names, layer: (i) => withSecondMap(`model.layers.${i}`, names.layer(i)) };
  },
};
