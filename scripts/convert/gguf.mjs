// A folder as one GGUF file, with its tokenizer and chat template. Architectures whose tensors only need other names: rows of q and k stay as they are.
import { Buffer } from 'node:buffer';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BLOCKS, blockFor } from './blocks.mjs';
import { writeAll } from './checkpoint.mjs';

const ARCHITECTURES = { glm4_moe: 'glm4moe', olmoe: 'olmoe', qwen3_moe: 'qwen3moe' };

/** llama.cpp's keys, by those of config.json. */
const KEYS = {
  num_hidden_layers: 'block_count',
  max_position_embeddings: 'context_length',
  hidden_size: 'embedding_length',
  num_attention_heads: 'attention.head_count',
  num_key_value_heads: 'attention.head_count_kv',
  num_experts_per_tok: 'expert_used_count',
  num_experts: 'expert_count',
  n_routed_experts: 'expert_count',
  n_shared_experts: 'expert_shared_count',
  first_k_dense_replace: 'leading_dense_block_count',
  n_group: 'expert_group_count',
  topk_group: 'expert_group_used_count',
  moe_intermediate_size: 'expert_feed_forward_length',
  intermediate_size: 'feed_forward_length',
  vocab_size: 'vocab_size',
};

const f32 = (value) => ({ f32: value });

function modelKeys(config, arch) {
  const rope = config.rope_parameters ?? config;
  if ((rope.rope_type ?? 'default') !== 'default' || config.rope_scaling)
    throw new Error('a model with scaled rotary frequencies is not converted');
  const size = config.head_dim ?? config.hidden_size / config.num_attention_heads;
  const own = {
    'attention.layer_norm_rms_epsilon': f32(config.rms_norm_eps),
    'rope.freq_base': f32(rope.rope_theta),
    'attention.key_length': size,
    'attention.value_length': size,
  };
  for (const [theirs, ours] of Object.entries(KEYS)) if (typeof config[theirs] === 'number') own[ours] = config[theirs];
  if (arch === 'glm4moe') {
    own['rope.dimension_count'] = size * (config.partial_rotary_factor ?? 0.5);
    own.expert_gating_func = 2; // sigmoid
    own.expert_weights_scale = f32(config.routed_scaling_factor ?? 1);
    own.expert_weights_norm = config.norm_topk_prob ?? true;
  }
  if (typeof config.clip_qkv === 'number') own['attention.clamp_kqv'] = f32(config.clip_qkv);
  return Object.fromEntries(Object.entries(own).map(([key, value]) => [`${arch}.${key}`, value]));
}

const NORMAL = 1;
const CONTROL = 3;
const USER_DEFINED = 4;

/** How llama.cpp calls the rule by which the tokenizer cuts text. */
function preTokenizer({ pre_tokenizer: pre }) {
  const parts = (pre?.pretokenizers ?? [pre]).map((p) => p?.type).join('+');
  if (parts === 'Digits+ByteLevel') return 'smollm';
  if (parts === 'ByteLevel') return 'gpt-2';
  throw new Error(`a tokenizer that cuts text by ${parts} has no name here: add it to scripts/convert/gguf.mjs`);
}

function tokenizerKeys(folder, config) {
  const path = join(folder, 'tokenizer.json');
  if (!existsSync(path)) return {};
  const tokenizer = JSON.parse(readFileSync(path, 'utf8'));
  const { vocab, merges } = tokenizer.model;
  const tokens = Array.from({ length: config.vocab_size }, (_, id) => `[PAD${id}]`);
  const types = tokens.map(() => USER_DEFINED);
  for (const [text, id] of Object.entries(vocab)) [tokens[id], types[id]] = [text, NORMAL];
  for (const { id, content, special } of tokenizer.added_tokens ?? [])
    [tokens[id], types[id]] = [content, special ? CONTROL : USER_DEFINED];
  const file = join(folder, 'tokenizer_config.json');
  const about = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
  const beside = join(folder, 'chat_template.jinja');
  const template = existsSync(beside) ? readFileSync(beside, 'utf8') : about.chat_template;
  const id = (value) => (Array.isArray(value) ? value[0] : value);
  return {
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': preTokenizer(tokenizer),
    'tokenizer.ggml.tokens': tokens,
    'tokenizer.ggml.token_type': types,
    'tokenizer.ggml.merges': merges.map((pair) => (Array.isArray(pair) ? pair.join(' ') : pair)),
    ...(config.bos_token_id != null && { 'tokenizer.ggml.bos_token_id': id(config.bos_token_id) }),
    ...(config.eos_token_id != null && { 'tokenizer.ggml.eos_token_id': id(config.eos_token_id) }),
    'tokenizer.ggml.add_bos_token': false,
    ...(template && { 'tokenizer.chat_template': template }),
  };
}

const OUTSIDE = {
  'model.embed_tokens': 'token_embd',
  'model.norm': 'output_norm',
  lm_head: 'output',
};
const INSIDE = {
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
  'mlp.gate': 'ffn_gate_inp',
};
const PROJECTION = /^mlp\.(?:(shared_experts?)\.|experts\.(\d+)\.)?(gate|up|down)_proj$/;

/** Name of a tensor in the file, and which expert it is of a stack. */
function placeOf(name, arch) {
  if (name.endsWith('.e_score_correction_bias'))
    return { name: `blk.${/\d+/.exec(name)[0]}.exp_probs_b.bias`, e: null };
  const [, base, kind] = /^(.*)\.(weight|bias)$/.exec(name) ?? [];
  if (OUTSIDE[base]) return { name: `${OUTSIDE[base]}.${kind}`, e: null };
  const [, layer, rest] = /^model\.layers\.(\d+)\.(.*)$/.exec(base ?? '') ?? [];
  const named = (suffix, e = null) => ({ name: `blk.${layer}.${suffix}.${kind}`, e });
  if (rest === 'post_attention_layernorm') return named(arch === 'glm4moe' ? 'post_attention_norm' : 'ffn_norm');
  if (INSIDE[rest]) return named(INSIDE[rest]);
  const [, shared, e, part] = PROJECTION.exec(rest ?? '') ?? [];
  if (!part) throw new Error(`${name} has no name in a GGUF file`);
  if (shared) return named(`ffn_${part}_shexp`);
  return e === undefined ? named(`ffn_${part}`) : named(`ffn_${part}_exps`, Number(e));
}

/** Tensors in the order of their first part: `{ name, shape, read }`, experts of a layer as one. */
function stacked(tensors, arch) {
  const out = new Map();
  for (const tensor of tensors) {
    const { name, e } = placeOf(tensor.name, arch);
    if (e === null) out.set(name, { ...tensor, name });
    else {
      const stack = out.get(name) ?? { name, parts: [] };
      stack.parts[e] = tensor;
      out.set(name, stack);
    }
  }
  return [...out.values()].map((t) => (t.parts ? joined(t.name, t.parts) : t));
}

function joined(name, parts) {
  const shape = [parts.length, ...parts[0].shape];
  const size = parts[0].shape.reduce((a, b) => a * b, 1);
  return {
    name,
    shape,
    read() {
      const out = new Float32Array(parts.length * size);
      parts.forEach((part, e) => out.set(part.read(), e * size));
      return out;
    },
  };
}

/** The mixes: what matrices become, what down projections and values do, and the embedding. */
export const MIXES = {
  'gguf-q8_0': { matrix: 'Q8_0', finer: 'Q8_0', embedding: 'Q8_0' },
  'gguf-q4_0': { matrix: 'Q4_0', finer: 'Q4_0', embedding: 'Q8_0' },
  'gguf-q4_k': { matrix: 'Q4_K', finer: 'Q6_K', embedding: 'Q6_K' },
};

function blocksOf({ name, shape }, mix) {
  if (shape.length === 1 || /norm|ffn_gate_inp|\.bias$/.test(name)) return BLOCKS.F32;
  const role = /^(token_embd|output)\./.test(name) ? 'embedding' : /ffn_down|attn_v\./.test(name) ? 'finer' : 'matrix';
  return blockFor(mix[role], shape.at(-1));
}

class Bytes {
  #parts = [];
  length = 0;

  add(bytes) {
    this.#parts.push(bytes);
    this.length += bytes.length;
    return this;
  }
  number(size, write) {
    const bytes = Buffer.alloc(size);
    write(bytes);
    return this.add(bytes);
  }
  u32(n) {
    return this.number(4, (b) => b.writeUInt32LE(n));
  }
  u64(n) {
    return this.number(8, (b) => b.writeBigUInt64LE(BigInt(n)));
  }
  f32(n) {
    return this.number(4, (b) => b.writeFloatLE(n));
  }
  text(text) {
    const bytes = Buffer.from(text);
    return this.u64(bytes.length).add(bytes);
  }
  value(value) {
    if (typeof value === 'string') return this.u32(8).text(value);
    if (typeof value === 'boolean') return this.u32(7).add(Buffer.of(value ? 1 : 0));
    if (typeof value === 'number') return this.u32(4).u32(value);
    if ('f32' in value) return this.u32(6).f32(value.f32);
    const isText = typeof value[0] === 'string';
    this.u32(9)
      .u32(isText ? 8 : 5)
      .u64(value.length);
    for (const item of value) {
      if (isText) this.text(item);
      else this.u32(item);
    }
    return this;
  }
  padTo(alignment) {
    return this.add(Buffer.alloc((alignment - (this.length % alignment)) % alignment));
  }
  whole() {
    return Buffer.concat(this.#parts);
  }
}

const ALIGNMENT = 32;

/** Writes `{ config, tensors }` of a folder to `path`. */
export function writeGguf(path, folder, { config, tensors }, mix) {
  const arch = ARCHITECTURES[config.model_type];
  if (!arch)
    throw new Error(`${config.model_type} is not converted to GGUF; ${Object.keys(ARCHITECTURES).join(', ')} are`);
  const metadata = {
    'general.architecture': arch,
    'general.quantization_version': 2,
    ...modelKeys(config, arch),
    ...tokenizerKeys(folder, config),
  };
  const all = stacked(tensors, arch).map((t) => ({ ...t, blocks: blocksOf(t, mix) }));
  const data = all.map(({ blocks, read }) => blocks.encode(read()));
  const header = new Bytes().add(Buffer.from('GGUF')).u32(3).u64(all.length).u64(Object.keys(metadata).length);
  for (const [key, value] of Object.entries(metadata)) header.text(key).value(value);
  let at = 0;
  all.forEach(({ name, shape, blocks }, i) => {
    header.text(name).u32(shape.length);
    for (const d of [...shape].reverse()) header.u64(d);
    header.u32(blocks.type).u64(at);
    at += Math.ceil(data[i].length / ALIGNMENT) * ALIGNMENT;
  });
  const file = openSync(path, 'w');
  try {
    writeAll(file, header.padTo(ALIGNMENT).whole());
    for (const bytes of data) writeAll(file, new Bytes().add(bytes).padTo(ALIGNMENT).whole());
  } finally {
    closeSync(file);
  }
}
