/** Qwen3.5 and Qwen3.6 MoE: the block of Qwen3-Next with the delta net's projections apart and experts in one tensor; mostly inside a model that sees. */
import { readActivation, readBase, readExperts, readHeads, readWidth } from '../config/axes.ts';
import type { DeltaNet, FfnConfig } from '../config/model-config.ts';
import { readRope } from '../config/rope.ts';
import { invariant } from '../util/assert.ts';
import { stackedRows, type DeltaNetNames, type Family, type RowsOf } from './family.ts';
import { eitherExperts, fusedExperts, llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention, SIGMOID_GATE, softmaxRouter } from './parts.ts';
import { gatedNames, readDeltaNet, readMixers } from './qwen3-next.ts';

const whole = (of: string, rows: number): RowsOf => ({ of, first: 0, rows, total: rows });

function deltaNetNames(prefix: string, { heads, keyHeads, keySize, valueSize }: DeltaNet): DeltaNetNames {
  const at = (name: string): string => `${prefix}.${name}`;
  const [keys, values] = [keyHeads * keySize, heads * valueSize];
  return {
    kind: 'delta-net',
    inProj: [
      ...stackedRows(at('in_proj_qkv'), [keys, keys, values]),
      whole(at('in_proj_z'), values),
      whole(at('in_proj_b'), heads),
      whole(at('in_proj_a'), heads),
    ],
    conv: at('conv1d.weight'),
    aLog: at('A_log'),
    stepBias: at('dt_bias'),
    norm: at('norm.weight'),
    outProj: at('out_proj'),
  };
}

export const qwen35Moe: Family = {
  id: 'qwen3-5-moe',
  modelTypes: ['qwen3_5_moe_text'],
  architectures: ['Qwen3_5MoeForCausalLM'],
  around: ['qwen3_5_moe'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'qwen3-5-moe');
    const heads = readHeads(c, model.hidden);
    const request = { headSize: heads.headSize, maxContext: model.maxContext, theta: 10_000, partial: 0.25 };
    const { rope } = readRope(c, request)('full_attention');
    c.only('attention_bias', false);
    c.only('attn_output_gate', true);
    c.only('mlp_only_layers', []);
    c.irrelevant('mamba_ssm_dtype'); // states are f32 here
    c.irrelevant('mtp_num_hidden_layers', 'mtp_use_dedicated_embeddings'); // layers that predict several tokens; not read
    const attention = groupedAttention(heads, rope, { qkNorm: 'per-head', outputGate: SIGMOID_GATE });
    const ffn: FfnConfig = {
      kind: 'moe',
      ...readExperts(c),
      width: readWidth(c, 'moe_intermediate_size'),
      activation: readActivation(c),
      expertBias: false,
      router: softmaxRouter({ renormalize: { epsilon: 0 } }),
      shared: { width: readWidth(c, 'shared_expert_intermediate_size'), gated: true },
    };
    const mixers = readMixers(c, layerCount, attention, readDeltaNet(c));
    return { ...model, gainOffset: 1, layers: mixers.map((mixer) => ({ mixer: mixer, ffn })) };
  },

  names: (config) =>
    gatedNames(
      config,
      llamaNames(config, {
        block: 'mlp',
        router: 'gate',
        experts: eitherExperts(fusedExperts('out-in'), separateExperts()),
        shared: 'shared_expert',
        sharedGate: 'shared_expert_gate',
        recurrent: (layer, mixer) => {
          invariant(mixer.kind === 'delta-net', 'a token mixer of another family');
          return deltaNetNames(`${layer}.linear_attn`, mixer);
        },
      }),
    ),
};
