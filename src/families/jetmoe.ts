/** JetMoE: a mixture of attention heads and one of feed-forwards in every layer, each with a bias on the sum of the chosen. */
import { LIMITS, readBase, readExperts, readWidth } from '../config/axes.ts';
import type { LayerConfig } from '../config/model-config.ts';
import { readRope } from '../config/rope.ts';
import { stackedRows, type Family, type GroupedAttentionNames } from './family.ts';
import { llamaNames, type MoeNaming } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

/** The layers' norms were built without an epsilon argument, whatever rms_norm_eps says; the last norm has it. */
const LAYER_NORM_EPS = 1e-6;

const experts: MoeNaming['experts'] = (block) => [
  {
    kind: 'fused',
    gateUp: `${block}.input_linear.weight`,
    down: `${block}.output_linear.weight`,
    sumBias: `${block}.bias`,
    gateUpBias: null,
    downBias: null,
    orientation: 'out-in',
    gateRows: 'first-half',
  },
];

function attentionNames(layer: string, width: number): GroupedAttentionNames {
  const block = `${layer}.self_attention`;
  const [k, v] = stackedRows(`${block}.kv_proj`, [width, width]);
  return {
    kind: 'grouped',
    q: `${block}.experts.input_linear.weight`,
    k,
    v,
    o: `${block}.experts`,
    qNorm: null,
    kNorm: null,
    sinks: null,
    mixture: { router: `${block}.experts.router.layer`, out: `${block}.experts.output_linear.weight` },
  };
}

export const jetmoe: Family = {
  id: 'jetmoe',
  modelTypes: ['jetmoe'],
  architectures: ['JetMoeForCausalLM', 'JetMoEForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'jetmoe');
    const mixture = readExperts(c);
    const kvHeads = c.integer('num_key_value_heads', { max: LIMITS.heads });
    const headSize = c.integer('kv_channels', { max: LIMITS.headSize });
    const heads = { heads: kvHeads * mixture.topK, kvHeads, headSize };
    c.only('num_attention_heads', heads.heads);
    c.only('activation_function', 'silu');
    c.irrelevant('aux_loss_coef'); // of training
    const { rope } = readRope(c, { headSize, maxContext: model.maxContext, theta: 10_000 })('full_attention');
    const layer: LayerConfig = {
      mixer: groupedAttention(heads, rope, { bias: { qkv: false, o: true }, mixture }),
      ffn: {
        kind: 'moe',
        ...mixture,
        width: readWidth(c, 'intermediate_size'),
        activation: { kind: 'silu' },
        expertBias: true,
        router: softmaxRouter({ score: 'softmax-chosen' }),
        shared: null,
      },
    };
    return {
      ...model,
      normEps: LAYER_NORM_EPS,
      finalNormEps: model.normEps,
      tieEmbeddings: c.boolean('tie_word_embeddings', true),
      layers: Array.from({ length: layerCount }, () => layer),
    };
  },

  names: (config) => {
    const names = llamaNames(config, { block: 'mlp', router: 'router.layer', experts });
    return {
      ...names,
      layer: (index) => {
        const { mixer: attention } = config.layers[index]!;
        const width = attention.kind === 'grouped' ? attention.kvHeads * attention.headSize : 0;
        return { ...names.layer(index), mixer: attentionNames(`model.layers.${index}`, width) };
      },
    };
  },
};
