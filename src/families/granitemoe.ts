/** Granite 3 MoE, with or without a shared expert: multipliers everywhere, softmax over the chosen, all experts in one tensor. */
import {
  LIMITS,
  readActivation,
  readBase,
  readExperts,
  readHeads,
  readMultipliers,
  readWidth,
} from '../config/axes.ts';
import type { LayerConfig, MoeFfn } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import { stackedRows, type Family } from './family.ts';
import { llamaNames, type MoeNaming } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

/** Experts as rank 3, gate rows first; `_linear` names the pair. */
const experts: MoeNaming['experts'] = (block) => [
  {
    kind: 'fused',
    gateUp: `${block}.input_linear.weight`,
    down: `${block}.output_linear.weight`,
    gateUpBias: null,
    downBias: null,
    orientation: 'out-in',
    gateRows: 'first-half',
  },
];

export function sharedNames(
  layer: string,
  width: number,
): ReturnType<Exclude<MoeNaming['shared'], string | undefined>> {
  const [gate, up] = stackedRows(`${layer}.shared_mlp.input_linear`, [width, width]);
  return { gate, up, down: `${layer}.shared_mlp.output_linear` };
}

export const GRANITE_NAMING: MoeNaming = {
  block: 'block_sparse_moe',
  router: 'router.layer',
  experts,
  shared: sharedNames,
};

export function readGraniteMoe(c: ConfigReader): MoeFfn {
  const shared = c.integer('shared_intermediate_size', { min: 0, max: LIMITS.width, fallback: 0 });
  return {
    kind: 'moe',
    ...readExperts(c),
    width: readWidth(c, 'intermediate_size'),
    activation: readActivation(c),
    expertBias: false,
    router: softmaxRouter({ score: 'softmax-chosen' }),
    shared: shared > 0 ? { width: shared, gated: false } : null,
  };
}

export const graniteMoe: Family = {
  id: 'granitemoe',
  modelTypes: ['granitemoe', 'granitemoeshared'],
  architectures: ['GraniteMoeForCausalLM', 'GraniteMoeSharedForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'granitemoe');
    const heads = readHeads(c, model.hidden);
    const multipliers = readMultipliers(c);
    const { rope } = readRope(c, { headSize: heads.headSize, maxContext: model.maxContext, theta: 10_000 })(
      'full_attention',
    );
    const biased = c.boolean('attention_bias', false);
    const layer: LayerConfig = {
      mixer: groupedAttention(heads, rope, {
        scale: multipliers.attention,
        bias: { qkv: biased, o: biased },
      }),
      ffn: readGraniteMoe(c),
    };
    return { ...model, ...multipliers.model, layers: Array.from({ length: layerCount }, () => layer) };
  },

  names: (config) => llamaNames(config, GRANITE_NAMING),
};
