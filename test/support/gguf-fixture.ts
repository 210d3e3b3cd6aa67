/** A fixture's checkpoint as one GGUF file, named and laid out as llama.cpp's converter does; written apart from the reader. */
import { concat } from './weights.ts';
import { ENCODINGS, ggufFile, type EncodingName, type GgufParts, type GgufTensorSpec, type GgufValue } from './gguf.ts';
import type { Files } from './models.ts';
import { f32ToF16 } from '../../src/util/half.ts';

interface Stored {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** All tensors of a folder, read without any code under test. */
function tensorsOf(files: Files): Map<string, Stored> {
  const found = new Map<string, Stored>();
  for (const [name, file] of Object.entries(files)) {
    if (!/^model.*\.safetensors$/.test(name)) continue;
    const n = Number(new DataView(file.buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + n))) as Record<
      string,
      { dtype: string; shape: number[]; data_offsets: [number, number] }
    >;
    for (const [tensor, entry] of Object.entries(header)) {
      if (tensor === '__metadata__') continue;
      const [begin, end] = entry.data_offsets;
      found.set(tensor, { ...entry, bytes: file.slice(8 + n + begin, 8 + n + end) });
    }
  }
  return found;
}

const floats = ({ dtype, bytes }: Stored): Float32Array => {
  if (dtype === 'F32') return new Float32Array(bytes.buffer);
  if (dtype !== 'BF16') throw new Error(`test bug: ${dtype}`);
  const wide = Uint32Array.from(new Uint16Array(bytes.buffer), (bits) => bits << 16);
  return new Float32Array(wide.buffer);
};

/** `X.weight_packed` with its bf16 scales of 32 as Q4_0: weight j of a block goes low into byte j, weight j + 16 high; q + 8 is what both store. */
function packed(tensors: ReadonlyMap<string, Stored>): Map<string, Stored> {
  const out = new Map<string, Stored>();
  for (const [name, stored] of tensors) {
    const base = name.replace(/\.weight_(packed|scale|shape)$/, '');
    if (base === name) out.set(name, stored);
    if (!name.endsWith('.weight_packed')) continue;
    const words = new Uint32Array(stored.bytes.buffer);
    const scales = floats(tensors.get(`${base}.weight_scale`)!);
    const weight = (i: number): number => (words[i >> 3]! >>> (4 * (i & 7))) & 15;
    const blocks = Array.from(scales, (scale, b) => {
      const nibbles = Array.from({ length: 16 }, (_, j) => weight(32 * b + j) | (weight(32 * b + 16 + j) << 4));
      return concat(new Uint8Array(Uint16Array.of(f32ToF16(scale)).buffer), Uint8Array.from(nibbles));
    });
    const [rows = 0, perRow = 0] = stored.shape;
    out.set(`${base}.weight`, { dtype: 'Q4_0', shape: [rows, perRow * 8], bytes: concat(...blocks) });
  }
  return out;
}

const matrixOf = (stored: Stored): Matrix =>
  stored.dtype === 'Q4_0'
    ? { shape: stored.shape, values: new Float32Array(0), blocks: stored.bytes }
    : { shape: stored.shape, values: floats(stored) };

/** What one tensor of the model is called, or parts of one. */
const OUTSIDE: Readonly<Record<string, string>> = {
  'model.embed_tokens.weight': 'token_embd.weight',
  'model.norm.weight': 'output_norm.weight',
  'lm_head.weight': 'output.weight',
  'model.norm.bias': 'output_norm.bias',
  'lm_head.bias': 'output.bias',
  'backbone.embeddings.weight': 'token_embd.weight',
  'backbone.norm_f.weight': 'output_norm.weight',
};
/** Of a block of Nemotron-H. */
const IN_BLOCK: Readonly<Record<string, string>> = {
  'norm.weight': 'attn_norm.weight',
  'mixer.in_proj.weight': 'ssm_in.weight',
  'mixer.conv1d.weight': 'ssm_conv1d.weight',
  'mixer.conv1d.bias': 'ssm_conv1d.bias',
  'mixer.dt_bias': 'ssm_dt.bias',
  'mixer.A_log': 'ssm_a',
  'mixer.D': 'ssm_d',
  'mixer.norm.weight': 'ssm_norm.weight',
  'mixer.out_proj.weight': 'ssm_out.weight',
  ...Object.fromEntries(['q', 'k', 'v'].map((p) => [`mixer.${p}_proj.weight`, `attn_${p}.weight`])),
  'mixer.o_proj.weight': 'attn_output.weight',
  'mixer.gate.weight': 'ffn_gate_inp.weight',
  'mixer.gate.e_score_correction_bias': 'exp_probs_b.bias',
  ...Object.fromEntries(
    ['up', 'down'].flatMap((p) => [
      [`mixer.${p}_proj.weight`, `ffn_${p}.weight`],
      [`mixer.shared_experts.${p}_proj.weight`, `ffn_${p}_shexp.weight`],
    ]),
  ),
};
const IN_LAYER: readonly (readonly [string, string])[] = [
  ['input_layernorm', 'attn_norm'],
  ['self_attn.q_proj', 'attn_q'],
  ['self_attn.k_proj', 'attn_k'],
  ['self_attn.v_proj', 'attn_v'],
  ['self_attn.o_proj', 'attn_output'],
  ['self_attn.q_norm', 'attn_q_norm'],
  ['self_attn.k_norm', 'attn_k_norm'],
  ['self_attn.q_a_proj', 'attn_q_a'],
  ['self_attn.q_a_layernorm', 'attn_q_a_norm'],
  ['self_attn.q_b_proj', 'attn_q_b'],
  ['self_attn.kv_a_proj_with_mqa', 'attn_kv_a_mqa'],
  ['self_attn.kv_a_layernorm', 'attn_kv_a_norm'],
  ['self_attn.kv_b_proj', 'attn_kv_b'],
  ['mlp.gate_proj', 'ffn_gate'],
  ['mlp.up_proj', 'ffn_up'],
  ['mlp.down_proj', 'ffn_down'],
  ['mlp.gate', 'ffn_gate_inp'],
  ['mlp.router', 'ffn_gate_inp'],
  ['block_sparse_moe.gate', 'ffn_gate_inp'],
  ['mlp.shared_expert_gate', 'ffn_gate_inp_shexp'],
  ...['shared_expert', 'shared_experts'].flatMap((shared) =>
    ['gate', 'up', 'down'].map((p): [string, string] => [`mlp.${shared}.${p}_proj`, `ffn_${p}_shexp`]),
  ),
];
const EXPERT = /^(?:mlp|block_sparse_moe|mixer)\.experts\.(\d+)\.(gate_proj|up_proj|down_proj|w1|w2|w3)\.weight$/;
const PART: Readonly<Record<string, string>> = {
  gate_proj: 'gate',
  w1: 'gate',
  up_proj: 'up',
  w3: 'up',
  down_proj: 'down',
  w2: 'down',
};

export interface Conversion {
  /** What matrices become; what is small stays F32. Default BF16, as the fixtures have them. */
  readonly matrices?: EncodingName;
  /** Matrices hold what this encoding leaves of their numbers. */
  readonly roundedTo?: EncodingName;
  /** Files of 2023 have each expert by itself. */
  readonly separateExperts?: boolean;
  /** Newer files of latent attention have k_b and v_b in place of kv_b. */
  readonly splitLatent?: boolean;
  /** Further metadata: a tokenizer, for example. */
  readonly metadata?: Readonly<Record<string, GgufValue>>;
}

interface Matrix {
  readonly shape: readonly number[];
  readonly values: Float32Array;
  /** Q4_0, in place of the values. */
  readonly blocks?: Uint8Array;
}

class Converter {
  readonly #config: Record<string, unknown>;
  readonly #conversion: Conversion;
  readonly #arch: string;
  readonly #out: Record<string, GgufTensorSpec> = {};
  /** The weights of experts as they come, by the name of their stack. */
  readonly #stacks = new Map<string, Matrix[]>();

  constructor(config: Record<string, unknown>, conversion: Conversion) {
    this.#config = config;
    this.#conversion = conversion;
    this.#arch = ARCHITECTURE[String(config.model_type)]!;
  }

  parts(tensors: ReadonlyMap<string, Stored>): GgufParts {
    for (const [name, stored] of tensors) this.#add(name, stored, tensors);
    for (const [name, matrices] of this.#stacks) {
      if (this.#conversion.separateExperts) {
        matrices.forEach((matrix, e) => this.#put(name.replace('_exps', `.${e}`), matrix));
        continue;
      }
      const shape = [matrices.length, ...matrices[0]!.shape];
      const values = new Float32Array(
        concat(...matrices.map((m) => new Uint8Array(Float32Array.from(m.values).buffer))).buffer,
      );
      const isBlocks = matrices[0]!.blocks !== undefined;
      this.#put(name, { shape, values, ...(isBlocks && { blocks: concat(...matrices.map((m) => m.blocks!)) }) });
    }
    const scaling = this.#config.rope_scaling as Record<string, number[]> | undefined;
    for (const length of scaling?.long_factor ? ['short', 'long'] : []) {
      const values = Float32Array.from(scaling![`${length}_factor`]!);
      this.#put(`rope_factors_${length}.weight`, { shape: [values.length], values });
    }
    return { metadata: { ...metadataOf(this.#config, this.#arch), ...this.#conversion.metadata }, tensors: this.#out };
  }

  #put(name: string, { shape, values, blocks }: Matrix): void {
    if (blocks) {
      this.#out[name] = { type: 2, shape, bytes: blocks };
      return;
    }
    const isSmall = shape.length === 1 || /norm|ffn_gate_inp|ssm_(?:conv1d|a$|d$)|\.bias$/.test(name);
    const { matrices = 'BF16', roundedTo } = this.#conversion;
    const { type, encode } = ENCODINGS[isSmall ? 'F32' : matrices];
    const kept = roundedTo && !isSmall ? ENCODINGS[roundedTo].rounded(values) : values;
    this.#out[name] = { type, shape, bytes: encode(kept) };
  }

  #add(name: string, stored: Stored, all: ReadonlyMap<string, Stored>): void {
    const outside = OUTSIDE[name];
    if (outside !== undefined) {
      this.#put(outside, { shape: stored.shape, values: floats(stored) });
      return;
    }
    const [, layer, rest = ''] = /^(?:model|backbone)\.layers\.(\d+)\.(.*)$/.exec(name)!;
    const blk = `blk.${layer}`;
    if (rest.startsWith('mlp.experts.') && !EXPERT.test(rest)) {
      this.#fused(blk, rest, stored, all.get(name.replace('_blocks', '_scales')));
      return;
    }
    const [, expert, part] = EXPERT.exec(rest) ?? [];
    if (expert !== undefined) {
      const stack = `${blk}.ffn_${PART[part!]}_exps.weight`;
      const stacked = this.#stacks.get(stack) ?? [];
      stacked[Number(expert)] = matrixOf(stored);
      this.#stacks.set(stack, stacked);
      return;
    }
    const inBlock = IN_BLOCK[rest];
    if (inBlock !== undefined) this.#put(`${blk}.${inBlock}`, this.#ofMamba(rest, matrixOf(stored)));
    else this.#inLayer(blk, rest, matrixOf(stored));
  }

  /** Convolutions lose a dimension, gains get one of groups, A is no logarithm any more. */
  #ofMamba(rest: string, matrix: Matrix): Matrix {
    const { shape, values } = matrix;
    const groups = Number(this.#config.n_groups);
    if (rest === 'mixer.conv1d.weight') return { values, shape: [shape[0]!, shape[2]!] };
    if (rest === 'mixer.norm.weight') return { values, shape: [groups, shape[0]! / groups] };
    if (rest === 'mixer.D') return { values, shape: [shape[0]!, 1] };
    return rest === 'mixer.A_log' ? { values: values.map((a) => -Math.exp(a)), shape: [shape[0]!, 1] } : matrix;
  }

  #inLayer(blk: string, rest: string, matrix: Matrix): void {
    if (rest === 'self_attn.sinks') return this.#put(`${blk}.attn_sinks.weight`, matrix);
    if (rest.endsWith('e_score_correction_bias')) return this.#put(`${blk}.exp_probs_b.bias`, matrix);
    const [, base, kind] = /^(.*)\.(weight|bias)$/.exec(rest)!;
    if (base === 'post_attention_layernorm') {
      const name = ['glm4moe', 'gpt-oss'].includes(this.#arch) ? 'post_attention_norm' : 'ffn_norm';
      return this.#put(`${blk}.${name}.${kind}`, matrix);
    }
    const named = IN_LAYER.find(([theirs]) => theirs === base)?.[1];
    if (!named) throw new Error(`test bug: no name for ${rest}`);
    if (named === 'attn_kv_b' && this.#conversion.splitLatent) return this.#latent(blk, matrix);
    const isTurned = this.#arch === 'llama' && (named === 'attn_q' || named === 'attn_k');
    this.#put(`${blk}.${named}.${kind}`, isTurned ? this.#turned(matrix, named) : matrix);
  }

  /** Rows of a head [2, A/2] become [A/2, 2]. */
  #turned({ shape, values }: Matrix, name: string): Matrix {
    const [rows = 0, cols = 0] = shape;
    const heads = Number(this.#config[name === 'attn_q' ? 'num_attention_heads' : 'num_key_value_heads']);
    const size = rows / heads;
    const out = new Float32Array(values.length);
    for (let h = 0; h < heads; h++)
      for (let half = 0; half < 2; half++)
        for (let j = 0; j < size / 2; j++) {
          const from = h * size + half * (size / 2) + j;
          const to = h * size + 2 * j + half;
          out.set(values.subarray(from * cols, (from + 1) * cols), to * cols);
        }
    return { shape, values: out };
  }

  #latent(blk: string, { shape, values }: Matrix): void {
    const rank = shape[1]!;
    const [heads, nope, value] = ['num_attention_heads', 'qk_nope_head_dim', 'v_head_dim'].map((k) =>
      Number(this.#config[k]),
    ) as [number, number, number];
    const k = new Float32Array(heads * rank * nope);
    const v = new Float32Array(heads * value * rank);
    for (let h = 0; h < heads; h++) {
      const first = h * (nope + value);
      for (let n = 0; n < nope; n++)
        for (let r = 0; r < rank; r++) k[(h * rank + r) * nope + n] = values[(first + n) * rank + r]!;
      v.set(values.subarray((first + nope) * rank, (first + nope + value) * rank), h * value * rank);
    }
    this.#put(`${blk}.attn_k_b.weight`, { shape: [heads, rank, nope], values: k });
    this.#put(`${blk}.attn_v_b.weight`, { shape: [heads, value, rank], values: v });
  }

  /** gpt-oss: gate and up alternate; plain matrices are [in, out], blocks [out, in]. */
  #fused(blk: string, rest: string, stored: Stored, scales: Stored | undefined): void {
    const [, base, kind = ''] = /^mlp\.experts\.(gate_up|down)_proj(_bias|_blocks|_scales)?$/.exec(rest)!;
    if (kind === '_scales') return;
    const parts = base === 'down' ? [['down', 0, 1] as const] : [['gate', 0, 2] as const, ['up', 1, 2] as const];
    for (const [part, first, stride] of parts) {
      const name = `${blk}.ffn_${part}_exps`;
      if (kind === '_bias') {
        const [experts = 0, width = 0] = stored.shape;
        const values = floats(stored).filter((_, i) => (i % width) % stride === first);
        this.#put(`${name}.bias`, { shape: [experts, width / stride], values });
      } else if (kind === '_blocks') this.#blocks(`${name}.weight`, stored, scales!, first, stride);
      else this.#transposed(`${name}.weight`, stored, first, stride);
    }
  }

  #transposed(name: string, stored: Stored, first: number, stride: number): void {
    const [experts = 0, cols = 0, rows = 0] = stored.shape;
    const values = floats(stored);
    const out = new Float32Array(values.length / stride);
    for (let e = 0, to = 0; e < experts; e++)
      for (let row = first; row < rows; row += stride)
        for (let k = 0; k < cols; k++) out[to++] = values[(e * cols + k) * rows + row]!;
    this.#put(name, { shape: [experts, rows / stride, cols], values: out });
  }

  /** Nibbles i, i + 1 of a byte become nibbles j, j + 16 of another, behind their scale. */
  #blocks(name: string, stored: Stored, scales: Stored, first: number, stride: number): void {
    const [experts = 0, rows = 0, chunks = 0] = stored.shape;
    const bytes: number[] = [];
    for (let row = 0; row < experts * rows; row++) {
      if (row % stride !== first) continue;
      for (let c = 0; c < chunks; c++) {
        const block = stored.bytes.subarray((row * chunks + c) * 16, (row * chunks + c + 1) * 16);
        const weight = (i: number): number => (i % 2 ? block[i >> 1]! >> 4 : block[i >> 1]! & 15);
        bytes.push(
          scales.bytes[row * chunks + c]!,
          ...Array.from({ length: 16 }, (_, j) => weight(j) | (weight(j + 16) << 4)),
        );
      }
    }
    this.#out[name] = { type: 39, shape: [experts, rows / stride, chunks * 32], bytes: Uint8Array.from(bytes) };
  }
}

const ARCHITECTURE: Readonly<Record<string, string>> = {
  mixtral: 'llama',
  olmoe: 'olmoe',
  qwen2_moe: 'qwen2moe',
  qwen3_moe: 'qwen3moe',
  glm4_moe: 'glm4moe',
  deepseek_v2: 'deepseek2',
  deepseek_v3: 'deepseek2',
  gpt_oss: 'gpt-oss',
  phimoe: 'phimoe',
  nemotron_h: 'nemotron_h_moe',
};

/** Keys of llama.cpp and of config.json, where one is the other. */
const KEYS: readonly (readonly [string, string])[] = [
  ['block_count', 'num_hidden_layers'],
  ['context_length', 'max_position_embeddings'],
  ['embedding_length', 'hidden_size'],
  ['attention.head_count', 'num_attention_heads'],
  ['attention.head_count_kv', 'num_key_value_heads'],
  ['expert_used_count', 'num_experts_per_tok'],
  ['expert_shared_count', 'n_shared_experts'],
  ['leading_dense_block_count', 'first_k_dense_replace'],
  ['attention.q_lora_rank', 'q_lora_rank'],
  ['attention.kv_lora_rank', 'kv_lora_rank'],
  ['expert_group_count', 'n_group'],
  ['expert_group_used_count', 'topk_group'],
  ['expert_feed_forward_length', 'moe_intermediate_size'],
  ['expert_shared_feed_forward_length', 'shared_expert_intermediate_size'],
  ['feed_forward_length', 'intermediate_size'],
];

function metadataOf(config: Record<string, unknown>, arch: string): Record<string, GgufValue> {
  const own: Record<string, GgufValue> = {};
  for (const [ours, theirs] of KEYS) {
    const value = config[theirs];
    if (typeof value === 'number') own[ours] = value;
  }
  const experts = config.num_experts ?? config.num_local_experts ?? config.n_routed_experts;
  if (typeof experts === 'number') own.expert_count = experts;
  own['attention.layer_norm_rms_epsilon'] = { f32: (config.rms_norm_eps ?? config.layer_norm_epsilon) as number };
  const rope = (config.rope_parameters ?? config) as Record<string, number>;
  if (rope.rope_theta !== undefined) own['rope.freq_base'] = { f32: rope.rope_theta };
  const headSize =
    (config.head_dim as number | null) ?? Number(config.hidden_size) / Number(config.num_attention_heads);
  Object.assign(
    own,
    arch === 'deepseek2'
      ? latentKeys(config)
      : { 'attention.key_length': headSize, 'attention.value_length': headSize },
  );
  if (arch === 'glm4moe') own['rope.dimension_count'] = headSize * (config.partial_rotary_factor as number);
  if (arch === 'glm4moe' || config.model_type === 'deepseek_v3') own.expert_gating_func = 2;
  if (config.routed_scaling_factor !== undefined)
    own.expert_weights_scale = { f32: config.routed_scaling_factor as number };
  if (arch === 'glm4moe' || arch === 'deepseek2') own.expert_weights_norm = config.norm_topk_prob as boolean;
  if (typeof config.clip_qkv === 'number') own['attention.clamp_kqv'] = { f32: config.clip_qkv };
  if (arch === 'gpt-oss') Object.assign(own, gptOssKeys(config));
  if (arch === 'nemotron_h_moe') Object.assign(own, nemotronKeys(config));
  if (arch === 'phimoe') Object.assign(own, phimoeKeys(config));
  const named = Object.fromEntries(Object.entries(own).map(([key, value]) => [`${arch}.${key}`, value]));
  return { 'general.architecture': arch, 'general.quantization_version': 2, 'general.name': 'a fixture', ...named };
}

const latentKeys = (config: Record<string, unknown>): Record<string, GgufValue> => ({
  'attention.key_length': Number(config.kv_lora_rank) + Number(config.qk_rope_head_dim),
  'attention.value_length': Number(config.kv_lora_rank),
  'attention.key_length_mla': Number(config.qk_nope_head_dim) + Number(config.qk_rope_head_dim),
  'attention.value_length_mla': Number(config.v_head_dim),
  'attention.head_count_kv': 1,
  'rope.dimension_count': Number(config.qk_rope_head_dim),
});

function gptOssKeys(config: Record<string, unknown>): Record<string, GgufValue> {
  const scaling = config.rope_scaling as Record<string, number>;
  return {
    'attention.sliding_window': config.sliding_window as number,
    expert_feed_forward_length: config.intermediate_size as number,
    'rope.scaling.type': 'yarn',
    'rope.scaling.factor': { f32: scaling.factor! },
    'rope.scaling.original_context_length': scaling.original_max_position_embeddings!,
  };
}

function nemotronKeys(config: Record<string, unknown>): Record<string, GgufValue> {
  const blocks = config.layers_block_type as string[];
  const of = (kind: string, value: unknown): number[] => blocks.map((b) => (b === kind ? (value as number) : 0));
  return {
    block_count: blocks.length,
    'attention.head_count_kv': of('full_attention', config.num_key_value_heads),
    feed_forward_length: of('moe', config.moe_intermediate_size),
    'rope.dimension_count': config.head_dim as number,
    'rope.scaling.finetuned': false,
    'attention.layer_norm_epsilon': { f32: config.layer_norm_epsilon as number },
    'ssm.conv_kernel': config.conv_kernel as number,
    'ssm.state_size': config.ssm_state_size as number,
    'ssm.group_count': config.n_groups as number,
    'ssm.inner_size': Number(config.mamba_num_heads) * Number(config.mamba_head_dim),
    'ssm.time_step_rank': config.mamba_num_heads as number,
    expert_shared_feed_forward_length: config.moe_shared_expert_intermediate_size as number,
    expert_weights_norm: config.norm_topk_prob as boolean,
  };
}

/** The two lists of factors are tensors. */
const phimoeKeys = (config: Record<string, unknown>): Record<string, GgufValue> => ({
  'attention.sliding_window': (config.sliding_window as number | null) ?? 0,
  'rope.dimension_count': Number(config.hidden_size) / Number(config.num_attention_heads),
  ...(config.rope_scaling
    ? {
        'rope.scaling.original_context_length': config.original_max_position_embeddings as number,
        'rope.scaling.attn_factor': { f32: ATTENTION_FACTOR },
      }
    : {}),
});

/** Of files with longrope: their one number for both lists. */
export const ATTENTION_FACTOR = 1.25;

export function ggufParts(files: Files, conversion: Conversion = {}): GgufParts {
  const config = JSON.parse(new TextDecoder().decode(files['config.json'])) as Record<string, unknown>;
  return new Converter(config, conversion).parts(packed(tensorsOf(files)));
}

/** The tokenizer and template of a folder (support/small-tokenizer.ts), as metadata. */
export function ggufText(files: Files): Record<string, GgufValue> {
  const { model } = JSON.parse(new TextDecoder().decode(files['tokenizer.json'])) as {
    model: { vocab: Record<string, number>; merges: string[] };
  };
  const tokens = Object.keys(model.vocab);
  return {
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': 'gpt-2',
    'tokenizer.ggml.tokens': tokens,
    'tokenizer.ggml.token_type': tokens.map(() => 1),
    'tokenizer.ggml.merges': model.merges,
    'tokenizer.ggml.eos_token_id': 2,
    'tokenizer.ggml.add_bos_token': false,
    'tokenizer.chat_template': new TextDecoder().decode(files['chat_template.jinja']),
  };
}

export const ggufOf = (files: Files, conversion: Conversion = {}): Uint8Array<ArrayBuffer> =>
  ggufFile(ggufParts(files, conversion));
