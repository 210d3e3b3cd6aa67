// Writes a random checkpoint in gpt-oss's layout, MXFP4 experts included, small enough for a software adapter: webmoe and onnxruntime's exporter both read it.
//   node bench/peers/checkpoint.mjs --out DIR [--seed 1]
// Only its speed means anything. The exporter asks for a tokenizer: it gets one of single bytes.
import { Buffer } from 'node:buffer';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: { out: { type: 'string' }, seed: { type: 'string', default: '1' } },
});
if (!values.out) throw new Error('--out DIR is needed');

const [LAYERS, HIDDEN, WIDTH, EXPERTS, HEADS, KV_HEADS, HEAD, VOCAB] = [8, 512, 256, 32, 8, 2, 64, 8192];
const GROUP = 32;
/** E8M0 2^-6, so that the weights have about the deviation of the other matrices. */
const EXPERT_SCALE = 121;
const DEVIATION = 0.03;

const config = {
  architectures: ['GptOssForCausalLM'],
  model_type: 'gpt_oss',
  torch_dtype: 'bfloat16',
  num_hidden_layers: LAYERS,
  hidden_size: HIDDEN,
  intermediate_size: WIDTH,
  num_local_experts: EXPERTS,
  num_experts_per_tok: 4,
  num_attention_heads: HEADS,
  num_key_value_heads: KV_HEADS,
  head_dim: HEAD,
  vocab_size: VOCAB,
  attention_bias: true,
  hidden_act: 'silu',
  rms_norm_eps: 1e-5,
  sliding_window: 128,
  layer_types: Array.from({ length: LAYERS }, (_, i) => (i % 2 ? 'full_attention' : 'sliding_attention')),
  max_position_embeddings: 4096,
  rope_theta: 150000,
  rope_scaling: {
    rope_type: 'yarn',
    factor: 8,
    beta_fast: 32,
    beta_slow: 1,
    original_max_position_embeddings: 512,
    truncate: false,
  },
  tie_word_embeddings: false,
  bos_token_id: 1,
  eos_token_id: 2,
  pad_token_id: 0,
  quantization_config: {
    quant_method: 'mxfp4',
    modules_to_not_convert: ['model.layers.*.self_attn', 'model.layers.*.mlp.router', 'model.embed_tokens', 'lm_head'],
  },
};

let state = Number(values.seed) >>> 0 || 1;
/** xorshift32. */
function random() {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) / 4294967296;
}

/** Uniform about `mean`, cut to bfloat16. */
function bf16(shape, mean = 0) {
  const count = shape.reduce((a, b) => a * b, 1);
  const spread = DEVIATION * Math.sqrt(12);
  const numbers = new Uint32Array(Float32Array.from({ length: count }, () => mean + spread * (random() - 0.5)).buffer);
  return { dtype: 'BF16', shape, data: Buffer.from(Uint16Array.from(numbers, (bits) => bits >>> 16).buffer) };
}

function bytes(shape, of) {
  const count = shape.reduce((a, b) => a * b, 1);
  return { dtype: 'U8', shape, data: Buffer.from(Uint8Array.from({ length: count }, of)) };
}

function* mxfp4(name, rows, cols) {
  const groups = cols / GROUP;
  yield [`${name}_blocks`, bytes([EXPERTS, rows, groups, GROUP / 2], () => Math.floor(256 * random()))];
  yield [`${name}_scales`, bytes([EXPERTS, rows, groups], () => EXPERT_SCALE)];
  yield [`${name}_bias`, bf16([EXPERTS, rows])];
}

function* layer(at) {
  yield [`${at}.input_layernorm.weight`, bf16([HIDDEN], 1)];
  yield [`${at}.post_attention_layernorm.weight`, bf16([HIDDEN], 1)];
  for (const [name, rows, cols] of [
    ['q', HEADS * HEAD, HIDDEN],
    ['k', KV_HEADS * HEAD, HIDDEN],
    ['v', KV_HEADS * HEAD, HIDDEN],
    ['o', HIDDEN, HEADS * HEAD],
  ]) {
    yield [`${at}.self_attn.${name}_proj.weight`, bf16([rows, cols])];
    yield [`${at}.self_attn.${name}_proj.bias`, bf16([rows])];
  }
  yield [`${at}.self_attn.sinks`, bf16([HEADS])];
  yield [`${at}.mlp.router.weight`, bf16([EXPERTS, HIDDEN])];
  yield [`${at}.mlp.router.bias`, bf16([EXPERTS])];
  yield* mxfp4(`${at}.mlp.experts.gate_up_proj`, 2 * WIDTH, HIDDEN);
  yield* mxfp4(`${at}.mlp.experts.down_proj`, HIDDEN, WIDTH);
}

function* tensors() {
  yield ['model.embed_tokens.weight', bf16([VOCAB, HIDDEN])];
  for (let i = 0; i < LAYERS; i++) yield* layer(`model.layers.${i}`);
  yield ['model.norm.weight', bf16([HIDDEN], 1)];
  yield ['lm_head.weight', bf16([VOCAB, HIDDEN])];
}

const visible = (byte) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);

/** Byte-level BPE without merges: the 256 bytes in the characters that stand for them, then ids that no text has. */
function tokenizer() {
  let hidden = 256;
  const bytes = Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(visible(byte) ? byte : hidden++));
  const rest = Array.from({ length: VOCAB - 256 }, (_, i) => `<unused ${i}>`);
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
    model: { type: 'BPE', vocab: Object.fromEntries([...bytes, ...rest].map((text, id) => [text, id])), merges: [] },
  };
}

function safetensors(entries) {
  const header = { __metadata__: { format: 'pt' } };
  let at = 0;
  for (const [name, { dtype, shape, data }] of entries) {
    header[name] = { dtype, shape, data_offsets: [at, at + data.length] };
    at += data.length;
  }
  const text = JSON.stringify(header);
  const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded, ...entries.map(([, { data }]) => data)]);
}

mkdirSync(values.out, { recursive: true });
const entries = [...tensors()];
writeFileSync(join(values.out, 'model.safetensors'), safetensors(entries));
const json = (file, content) => writeFileSync(join(values.out, file), `${JSON.stringify(content, null, 2)}\n`);
json('config.json', config);
json('tokenizer.json', tokenizer());
json('tokenizer_config.json', { tokenizer_class: 'PreTrainedTokenizerFast', model_max_length: 4096 });
console.log(`${values.out}: ${entries.length} tensors`);
