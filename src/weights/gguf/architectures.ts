/**
 * llama.cpp's architectures and the families that they are: the names of their keys, and what llama.cpp does without a key. A new one is an entry
 * here; its config goes through the family's own checks. Tensors need none: families/gguf-names.ts.
 */
import type { Json } from '../../config/read.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../errors.ts';
import type { ModelFile } from './model-file.ts';

export type JsonObject = { [key: string]: Json };

interface Description {
  /** Over the common keys; null takes one away. */
  readonly config: JsonObject;
  /** What reading the weights needs: see weights/formats/gguf.ts. */
  readonly weights?: JsonObject;
}

type Architecture = (file: ModelFile, base: JsonObject) => Description;

/** A, which must be one number for keys and values. */
function headSize({ keys }: ModelFile, base: JsonObject): number {
  const byDefault = Number(base.hidden_size) / Number(base.num_attention_heads);
  const size = keys.integer('attention.key_length', { fallback: byDefault });
  if (keys.integer('attention.value_length', { fallback: size }) !== size)
    keys.fail('attention.value_length', `${size}`);
  return size;
}

/** Families whose whole head rotates. */
function wholeHead(file: ModelFile, base: JsonObject): number {
  const size = headSize(file, base);
  if (file.keys.integer('rope.dimension_count', { fallback: size }) !== size)
    file.keys.fail('rope.dimension_count', `${size}, the size of a head`);
  return size;
}

/** F, from its key or, in files without it, from the experts themselves. */
function expertWidth({ keys, shapeOf }: ModelFile): number {
  const layers = keys.integer('block_count');
  const stacks = Array.from({ length: Math.min(layers, 1024) }, (_, i) => shapeOf(`blk.${i}.ffn_up_exps.weight`));
  const stored = stacks.find((s) => s !== null)?.[1];
  return keys.integer('expert_feed_forward_length', stored === undefined ? {} : { fallback: stored });
}

const experts = ({ keys }: ModelFile): { count: number; used: number } => ({
  count: keys.integer('expert_count'),
  used: keys.integer('expert_used_count'),
});

/** llama.cpp's numbers for score functions. */
const SOFTMAX = 1;
const SIGMOID = 2;

const gating = ({ keys }: ModelFile, fallback: number): number =>
  keys.integer('expert_gating_func', { min: 0, fallback }) || fallback;

/** Rows of q and k are in llama.cpp's order in files of these architectures. */
function refuseBias({ hasTensor, keys }: ModelFile): void {
  if (hasTensor('blk.0.attn_q.bias'))
    throw new UnsupportedModel(`${keys.path}: biases of q and k in llama.cpp's row order are not run`, {});
}

const llama: Architecture = (file, base) => {
  const { keys } = file;
  const head_dim = wholeHead(file, base);
  refuseBias(file);
  const weights = { permuted_head_size: head_dim };
  const config = { head_dim, hidden_act: 'silu', intermediate_size: keys.integer('feed_forward_length') };
  if (keys.integer('expert_count', { min: 0, fallback: 0 }) === 0) {
    keys.irrelevant('expert_used_count');
    return { config: { model_type: 'llama', ...config }, weights };
  }
  const { count, used } = experts(file);
  return {
    config: { model_type: 'mixtral', ...config, num_local_experts: count, num_experts_per_tok: used },
    weights,
  };
};

const olmoe: Architecture = (file, base) => {
  const { count, used } = experts(file);
  const clip = file.keys.raw('attention.clamp_kqv');
  return {
    config: {
      model_type: 'olmoe',
      head_dim: wholeHead(file, base),
      intermediate_size: file.keys.integer('feed_forward_length'),
      num_experts: count,
      num_experts_per_tok: used,
      norm_topk_prob: false,
      ...(clip !== undefined && clip !== 0 && { clip_qkv: clip }),
    },
  };
};

const qwen2moe: Architecture = (file, base) => {
  const { count, used } = experts(file);
  const shared = file.shapeOf('blk.0.ffn_up_shexp.weight')?.[0];
  return {
    config: {
      model_type: 'qwen2_moe',
      head_dim: wholeHead(file, base),
      intermediate_size: file.keys.integer('feed_forward_length', { fallback: 1 }),
      moe_intermediate_size: expertWidth(file),
      shared_expert_intermediate_size: file.keys.integer(
        'expert_shared_feed_forward_length',
        shared === undefined ? {} : { fallback: shared },
      ),
      num_experts: count,
      num_experts_per_tok: used,
      norm_topk_prob: false,
      qkv_bias: file.hasTensor('blk.0.attn_q.bias'),
      mlp_only_layers: denseLayers(file),
    },
  };
};

/** Layers without experts: the files name them by what they hold. */
const denseLayers = ({ keys, hasTensor }: ModelFile): number[] =>
  Array.from({ length: Math.min(keys.integer('block_count'), 1024) }, (_, i) => i).filter((i) =>
    hasTensor(`blk.${i}.ffn_up.weight`),
  );

const qwen3moe: Architecture = (file, base) => {
  const { count, used } = experts(file);
  return {
    config: {
      model_type: 'qwen3_moe',
      head_dim: wholeHead(file, base),
      intermediate_size: file.keys.integer('feed_forward_length', { fallback: 1 }),
      moe_intermediate_size: expertWidth(file),
      num_experts: count,
      num_experts_per_tok: used,
      norm_topk_prob: true,
      attention_bias: file.hasTensor('blk.0.attn_q.bias'),
      mlp_only_layers: denseLayers(file),
    },
  };
};

/** The router and the experts of DeepSeek and of GLM-4.5. */
function deepseekMoe(file: ModelFile): JsonObject {
  const { keys } = file;
  const { count, used } = experts(file);
  const width = expertWidth(file);
  const shared = keys.integer('expert_shared_count', { min: 0, fallback: 0 });
  const sharedWidth = keys.integer('expert_shared_feed_forward_length', { fallback: width * Math.max(1, shared) });
  if (shared > 0 && sharedWidth !== width * shared)
    keys.fail('expert_shared_feed_forward_length', `${width * shared}, so many experts' width`);
  return {
    intermediate_size: keys.integer('feed_forward_length'),
    moe_intermediate_size: width,
    n_routed_experts: count,
    num_experts_per_tok: used,
    n_shared_experts: shared,
    first_k_dense_replace: keys.integer('leading_dense_block_count', { min: 0, fallback: 0 }),
    routed_scaling_factor: keys.number('expert_weights_scale', { fallback: 1 }) || 1,
    norm_topk_prob: keys.boolean('expert_weights_norm', false),
    n_group: keys.integer('expert_group_count', { fallback: 1 }),
    topk_group: keys.integer('expert_group_used_count', { fallback: 1 }),
  };
}

const glm4moe: Architecture = (file, base) => {
  const head_dim = headSize(file, base);
  const rotating = file.keys.integer('rope.dimension_count', { fallback: head_dim / 2 });
  if (gating(file, SIGMOID) !== SIGMOID) file.keys.fail('expert_gating_func', `${SIGMOID} (sigmoid)`);
  return {
    config: {
      model_type: 'glm4_moe',
      head_dim,
      ...deepseekMoe(file),
      partial_rotary_factor: rotating / head_dim,
      use_qk_norm: file.hasTensor('blk.0.attn_q_norm.weight'),
      attention_bias: file.hasTensor('blk.0.attn_q.bias'),
    },
  };
};

const deepseek2: Architecture = (file, base) => {
  const { keys, hasTensor } = file;
  const isSigmoid = gating(file, hasTensor(`blk.${firstMoe(file)}.exp_probs_b.bias`) ? SIGMOID : SOFTMAX) === SIGMOID;
  const rope = keys.integer('rope.dimension_count');
  const rank = keys.integer('attention.kv_lora_rank');
  // With attn_k_b, the plain lengths are those of the latent, and the heads' own have keys of their own.
  const [key, value] = [keys.integer('attention.key_length'), keys.integer('attention.value_length')];
  const headKey = keys.integer('attention.key_length_mla', { min: 0, fallback: 0 }) || key;
  const headValue = keys.integer('attention.value_length_mla', { min: 0, fallback: 0 }) || value;
  if (headKey <= rope) keys.fail('attention.key_length', `more than the ${rope} that rotate`);
  const moe = deepseekMoe(file);
  const heads = Number(base.num_attention_heads);
  return {
    config: {
      model_type: isSigmoid ? 'deepseek_v3' : 'deepseek_v2',
      ...moe,
      ...(isSigmoid ? {} : { topk_method: Number(moe.n_group) > 1 ? 'group_limited_greedy' : 'greedy' }),
      num_key_value_heads: heads, // 1 in files that count the shared latent
      q_lora_rank: keys.raw('attention.q_lora_rank') ?? null,
      kv_lora_rank: rank,
      qk_rope_head_dim: rope,
      qk_nope_head_dim: headKey - rope,
      v_head_dim: headValue,
    },
    weights: { latent: { heads, nope: headKey - rope, value: headValue } },
  };
};

function firstMoe({ keys, hasTensor }: ModelFile): number {
  const layers = Math.min(keys.integer('block_count'), 1024);
  for (let i = 0; i < layers; i++) if (hasTensor(`blk.${i}.ffn_gate_inp.weight`)) return i;
  throw new InvalidCheckpoint('missing-tensor', `${keys.path}: no layer has a router (ffn_gate_inp)`, {});
}

const gptOss: Architecture = (file, base) => {
  const { keys } = file;
  const { count, used } = experts(file);
  keys.irrelevant('feed_forward_length'); // written by some converters beside the experts' own
  const scaling = base.rope_scaling as JsonObject | undefined;
  return {
    config: {
      model_type: 'gpt_oss',
      head_dim: wholeHead(file, base),
      intermediate_size: expertWidth(file),
      num_local_experts: count,
      num_experts_per_tok: used,
      sliding_window: keys.integer('attention.sliding_window'),
      attention_bias: file.hasTensor('blk.0.attn_q.bias'),
      // The bounds of the ramp are not rounded in this family.
      ...(scaling && { rope_scaling: { ...scaling, truncate: false } }),
    },
  };
};

const granitemoe: Architecture = (file, base) => {
  const { keys } = file;
  const head_dim = wholeHead(file, base);
  const { count, used } = experts(file);
  refuseBias(file);
  const shared = keys.integer('expert_shared_feed_forward_length', { min: 0, fallback: 0 });
  return {
    config: {
      model_type: shared > 0 ? 'granitemoeshared' : 'granitemoe',
      intermediate_size: keys.integer('feed_forward_length'),
      num_local_experts: count,
      num_experts_per_tok: used,
      embedding_multiplier: keys.number('embedding_scale', { fallback: 1 }),
      residual_multiplier: keys.number('residual_scale', { fallback: 1 }),
      attention_multiplier: keys.number('attention.scale', { fallback: head_dim ** -0.5 }),
      logits_scaling: keys.number('logit_scale', { fallback: 1 }),
      ...(shared > 0 && { shared_intermediate_size: shared }),
    },
    weights: { permuted_head_size: head_dim },
  };
};

const phimoe: Architecture = (file, base) => {
  const { keys, hasTensor } = file;
  const { count, used } = experts(file);
  const window = keys.integer('attention.sliding_window', { min: 0, fallback: 0 });
  return {
    config: {
      model_type: 'phimoe',
      head_dim: wholeHead(file, base),
      hidden_act: 'silu',
      intermediate_size: keys.integer('feed_forward_length'),
      num_local_experts: count,
      num_experts_per_tok: used,
      attention_bias: hasTensor('blk.0.attn_q.bias'),
      lm_head_bias: hasTensor('output.bias'),
      sliding_window: window || null,
    },
  };
};

/** What each block of Nemotron-H is, by what it holds. */
const BLOCKS = [
  ['ssm_in', 'mamba'],
  ['attn_q', 'attention'],
  ['ffn_gate_inp', 'moe'],
  ['ffn_up', 'mlp'],
] as const;

function nemotronBlocks({ keys, hasTensor }: ModelFile, count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    const found = BLOCKS.find(([tensor]) => hasTensor(`blk.${i}.${tensor}.weight`));
    if (found) return found[1];
    throw new InvalidCheckpoint('missing-tensor', `${keys.path}: block ${i} has no part that is known`, { block: i });
  });
}

const nemotronH: Architecture = (file, base) => {
  const { keys, hasTensor, shapeOf } = file;
  const blocks = nemotronBlocks(file, Math.min(Number(base.num_hidden_layers), 1024));
  const [mamba, dense] = ['mamba', 'mlp'].map((kind) => `blk.${blocks.indexOf(kind)}`) as [string, string];
  const heads = keys.integer('ssm.time_step_rank');
  // Told better by the tensors; nothing turns; written beside that of RMS norms, which all norms are.
  keys.irrelevant('feed_forward_length', 'rope.dimension_count', 'attention.layer_norm_epsilon');
  const width = shapeOf(`${dense}.ffn_up.weight`)?.[0];
  return {
    config: {
      model_type: 'nemotron_h',
      head_dim: headSize(file, base),
      layers_block_type: blocks,
      mamba_num_heads: heads,
      mamba_head_dim: keys.integer('ssm.inner_size') / heads,
      n_groups: keys.integer('ssm.group_count'),
      ssm_state_size: keys.integer('ssm.state_size'),
      conv_kernel: keys.integer('ssm.conv_kernel'),
      use_conv_bias: hasTensor(`${mamba}.ssm_conv1d.bias`),
      ...(blocks.includes('moe') && nemotronMoe(file)),
      ...(width !== undefined && { intermediate_size: width }),
    },
  };
};

function nemotronMoe(file: ModelFile): JsonObject {
  const { keys } = file;
  const { count, used } = experts(file);
  if (gating(file, SIGMOID) !== SIGMOID) keys.fail('expert_gating_func', `${SIGMOID} (sigmoid)`);
  return {
    moe_intermediate_size: expertWidth(file),
    moe_shared_expert_intermediate_size: keys.integer('expert_shared_feed_forward_length'),
    moe_latent_size: keys.raw('moe_latent_size') ?? null,
    n_routed_experts: count,
    num_experts_per_tok: used,
    n_shared_experts: keys.integer('expert_shared_count', { min: 0, fallback: 0 }),
    routed_scaling_factor: keys.number('expert_weights_scale', { fallback: 1 }),
    norm_topk_prob: keys.boolean('expert_weights_norm', false),
    n_group: keys.integer('expert_group_count', { fallback: 1 }),
    topk_group: keys.integer('expert_group_used_count', { fallback: 1 }),
  };
}

export const ARCHITECTURES: ReadonlyMap<string, Architecture> = /* @__PURE__ */ new Map<string, Architecture>([
  ['llama', llama],
  ['olmoe', olmoe],
  ['qwen2moe', qwen2moe],
  ['qwen3moe', qwen3moe],
  ['glm4moe', glm4moe],
  ['deepseek2', deepseek2],
  ['gpt-oss', gptOss],
  ['granitemoe', granitemoe],
  ['phimoe', phimoe],
  ['nemotron_h', nemotronH],
  ['nemotron_h_moe', nemotronH],
]);
