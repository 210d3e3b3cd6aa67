/** Yuan 2.0-M32: q and k read tokens filtered with the one before, and experts attend to each other to be chosen. */
import { LIMITS, readActivation, readBase, readWidth } from '../config/axes.ts';
import type { GroupedAttention, ModelConfig, MoeFfn } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import { stackedRows, type Family, type LayerNames, type RowsOf, type TensorNames } from './family.ts';
import { llamaNames } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

/** The published code builds that norm without an epsilon. */
const FILTER = { normEps: 1e-6 };

/** A share of each head turns: as much as heads have where projections are as wide as the stream. Angles are those of training in bf16. */
function readAttention(c: ConfigReader, { hidden, maxContext }: Pick<ModelConfig, 'hidden' | 'maxContext'>) {
  const heads = c.integer('num_attention_heads', { max: LIMITS.heads });
  const width = c.integer('attention_projection_size', { max: LIMITS.width, fallback: hidden });
  if (width % heads) c.fail('attention_projection_size', `a multiple of the ${heads} attention heads`);
  if (hidden % (2 * heads)) c.fail('hidden_size', `a multiple of twice the ${heads} attention heads`);
  const headSize = width / heads;
  if (hidden > width) c.fail('attention_projection_size', `at least hidden_size (${hidden})`);
  const { rope } = readRope(c, { headSize, maxContext, theta: 10_000, partial: hidden / width })('full_attention');
  return groupedAttention({ heads, kvHeads: heads, headSize }, { ...rope, rounded: true }, { filter: FILTER });
}

function readMoe(c: ConfigReader): MoeFfn {
  const moe = c.section('moe_config') ?? c.fail('moe_config', 'an object that describes the experts');
  moe.only('gated_linear_unit', true);
  if (moe.raw('gated_linear_unit') === undefined) moe.fail('gated_linear_unit', 'true');
  const experts = moe.integer('moe_num_experts', { max: Math.floor(LIMITS.experts / 3) });
  const ffn: MoeFfn = {
    kind: 'moe',
    experts,
    topK: moe.integer('moe_top_k', { max: Math.min(experts, LIMITS.topK) }),
    width: readWidth(moe, 'ffn_hidden_size'),
    activation: readActivation(c),
    expertBias: false,
    router: softmaxRouter({ attends: true, renormalize: moe.boolean('norm_topk_prob') ? { epsilon: 0 } : null }),
    shared: null,
  };
  moe.finish();
  return ffn;
}

/** The rows of q_proj and k_proj, one below the other, are cut into as many stretches as there are heads: in each first a head of q, then one of k. */
function headStretches(
  at: string,
  { heads, headSize }: GroupedAttention,
): { readonly q: RowsOf[]; readonly k: RowsOf[] } {
  const total = heads * headSize;
  const stretch = (i: number): RowsOf => {
    const first = i * headSize;
    const [of, from] = first < total ? ['q_proj', first] : ['k_proj', first - total];
    return { of: `${at}.${of}`, first: from as number, rows: headSize, total };
  };
  const all = Array.from({ length: heads }, (_, h) => h);
  return { q: all.map((h) => stretch(2 * h)), k: all.map((h) => stretch(2 * h + 1)) };
}

function layerNames(layer: string, names: LayerNames, mixer: GroupedAttention, { width }: MoeFfn): LayerNames {
  const at = `${layer}.self_attn`;
  const gate = `${layer}.mlp.gate`;
  const filter = {
    first: `${at}.lf_gate.conv1`,
    second: `${at}.lf_gate.conv2`,
    norm: `${at}.lf_gate.output_layernorm.weight`,
  };
  const attention = { ...names.mixer, kind: 'grouped', ...headStretches(at, mixer), filter } as LayerNames['mixer'];
  const expert = (e: number) => {
    const [first, second] = stackedRows(`${layer}.mlp.experts.${e}.w1`, [width, width]);
    return { gate: first, up: second, down: `${layer}.mlp.experts.${e}.w2` };
  };
  return {
    ...names,
    mixer: attention,
    ffn: {
      kind: 'moe',
      router: `${gate}.query`,
      routerAttends: [`${gate}.key`, `${gate}.value`],
      routerBias: null,
      selectionBias: null,
      experts: [{ kind: 'separate', expert }],
      shared: null,
      sharedGate: null,
    },
  };
}

export const yuan: Family = {
  id: 'yuan',
  modelTypes: ['yuan'],
  architectures: ['YuanForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'yuan');
    c.only('causal_mask', true);
    c.only('use_shareqk', false);
    c.only('use_moe', true);
    // Of a dense feed-forward, which no layer has; of tokens and their sizes, of training, and of how the published code computes.
    c.irrelevant('intermediate_size', 'model_max_length', 'dropout', 'reset_attention_mask', 'reset_position_ids');
    c.irrelevant('bos_token', 'eod_token', 'eod_token_id', 'eos_token', 'sep_token', 'mask_token_id', 'use_loss_mask');
    c.irrelevant('use_flash_attention');
    const layer = { mixer: readAttention(c, model), ffn: readMoe(c) };
    return { ...model, layers: Array.from({ length: layerCount }, () => layer) };
  },

  names(config): TensorNames {
    const llama = llamaNames(config, { block: 'mlp', router: 'gate.query', experts: () => [] });
    return {
      ...llama,
      layer(i) {
        const { mixer, ffn } = config.layers[i]!;
        return layerNames(`model.layers.${i}`, llama.layer(i), mixer as GroupedAttention, ffn as MoeFfn);
      },
    };
  },
};
