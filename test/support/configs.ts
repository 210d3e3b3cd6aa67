/** config.json files as published, one a family, at sizes that no kernel divides evenly. */

type Json = Record<string, unknown>;

const COMMON = {
  hidden_act: 'silu',
  bos_token_id: 1,
  eos_token_id: 2,
  hidden_size: 80,
  num_attention_heads: 6,
  num_key_value_heads: 3,
  head_dim: 24,
  vocab_size: 251,
  num_hidden_layers: 2,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  rope_scaling: null,
  tie_word_embeddings: false,
  torch_dtype: 'bfloat16',
  transformers_version: '4.46.0',
  use_cache: true,
};

const LATENT = {
  head_dim: undefined,
  num_key_value_heads: 6,
  first_k_dense_replace: 1,
  intermediate_size: 72,
  moe_intermediate_size: 40,
  n_shared_experts: 2,
  kv_lora_rank: 40,
  qk_nope_head_dim: 20,
  qk_rope_head_dim: 12,
  v_head_dim: 28,
};

const YARN = { type: 'yarn', factor: 40, original_max_position_embeddings: 16, beta_fast: 32, beta_slow: 1 };

const CONFIGS: Record<string, Json> = {
  mixtral: {
    model_type: 'mixtral',
    architectures: ['MixtralForCausalLM'],
    intermediate_size: 40,
    num_local_experts: 5,
    num_experts_per_tok: 2,
    sliding_window: 11,
  },
  olmoe: {
    model_type: 'olmoe',
    architectures: ['OlmoeForCausalLM'],
    head_dim: undefined,
    hidden_size: 96,
    num_attention_heads: 4,
    num_key_value_heads: 4,
    intermediate_size: 24,
    num_experts: 13,
    num_experts_per_tok: 5,
    norm_topk_prob: false,
    clip_qkv: 1.5,
  },
  'qwen2-moe': {
    model_type: 'qwen2_moe',
    architectures: ['Qwen2MoeForCausalLM'],
    head_dim: undefined,
    hidden_size: 48,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    intermediate_size: 72,
    moe_intermediate_size: 40,
    shared_expert_intermediate_size: 56,
    num_experts: 7,
    num_experts_per_tok: 3,
    norm_topk_prob: true,
    decoder_sparse_step: 1,
    mlp_only_layers: [1],
  },
  'qwen3-moe': {
    model_type: 'qwen3_moe',
    architectures: ['Qwen3MoeForCausalLM'],
    intermediate_size: 72,
    moe_intermediate_size: 40,
    num_experts: 9,
    num_experts_per_tok: 9,
    norm_topk_prob: true,
    tie_word_embeddings: true,
  },
  'glm4-moe': {
    model_type: 'glm4_moe',
    architectures: ['Glm4MoeForCausalLM'],
    attention_bias: true,
    use_qk_norm: true,
    partial_rotary_factor: 0.5,
    intermediate_size: 72,
    moe_intermediate_size: 40,
    n_routed_experts: 12,
    n_shared_experts: 1,
    num_experts_per_tok: 3,
    n_group: 3,
    topk_group: 2,
    norm_topk_prob: true,
    routed_scaling_factor: 1.5,
    first_k_dense_replace: 1,
    num_nextn_predict_layers: 1,
  },
  'deepseek-v2': {
    ...LATENT,
    model_type: 'deepseek_v2',
    architectures: ['DeepseekV2ForCausalLM'],
    q_lora_rank: null,
    n_routed_experts: 12,
    num_experts_per_tok: 3,
    topk_method: 'group_limited_greedy',
    n_group: 4,
    topk_group: 2,
    norm_topk_prob: false,
    routed_scaling_factor: 16,
    scoring_func: 'softmax',
    rope_scaling: { ...YARN, mscale: 0.707, mscale_all_dim: 0.707 },
  },
  'deepseek-v3': {
    ...LATENT,
    model_type: 'deepseek_v3',
    architectures: ['DeepseekV3ForCausalLM'],
    q_lora_rank: 36,
    n_routed_experts: 12,
    num_experts_per_tok: 4,
    topk_method: 'noaux_tc',
    scoring_func: 'sigmoid',
    n_group: 4,
    topk_group: 2,
    norm_topk_prob: true,
    routed_scaling_factor: 2.5,
    rope_scaling: { ...YARN, mscale: 1, mscale_all_dim: 1 },
  },
  'gpt-oss': {
    model_type: 'gpt_oss',
    architectures: ['GptOssForCausalLM'],
    attention_bias: true,
    intermediate_size: 40,
    num_local_experts: 6,
    num_experts_per_tok: 4,
    layer_types: ['sliding_attention', 'full_attention'],
    sliding_window: 9,
    rope_theta: 150_000,
    rope_scaling: { ...YARN, type: undefined, rope_type: 'yarn', factor: 32, truncate: false },
  },
};

export const ODD_FAMILIES = Object.keys(CONFIGS);

/** A family's config.json with changes; undefined takes a key away. */
export const configOf = (family: string, changes: Json = {}): Json => ({ ...COMMON, ...CONFIGS[family], ...changes });

/** The same file as transformers 5 writes it. */
export function asVersion5({ rope_theta, rope_scaling, partial_rotary_factor, torch_dtype, ...rest }: Json): Json {
  const { type, ...scaling } = (rope_scaling ?? {}) as Json;
  return {
    ...rest,
    dtype: torch_dtype,
    transformers_version: '5.0.0',
    rope_parameters: {
      rope_theta,
      partial_rotary_factor,
      ...scaling,
      rope_type: type ?? scaling.rope_type ?? 'default',
    },
  };
}
