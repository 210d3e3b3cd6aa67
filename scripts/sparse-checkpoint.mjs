// Writes a checkpoint with the shapes of Mixtral-8x7B, for tests of models that no memory holds: tens of gigabytes by their sizes, a few megabytes on disk.
// node scripts/sparse-checkpoint.mjs --out DIR [--layers 8] [--dtype bf16|f32] [--seed 1]
import { Buffer } from 'node:buffer';
import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

export const MIXTRAL_8X7B = {
  layers: 8,
  hidden: 4096,
  width: 14_336,
  experts: 8,
  perToken: 2,
  heads: 32,
  kvHeads: 8,
  vocab: 32_000,
};

const DTYPES = { bf16: 'BF16', f32: 'F32' };
/** As the Hub cuts models. */
const SHARD_BYTES = 5e9;
/** Data that starts on a block of the disk, as the tensors' sizes then keep it, costs no block that holds zeros only. */
const BLOCK = 4096;
/** Written at the start of each matrix, in bytes; the rest stays zero. */
const PATTERN_BYTES = 64 * 1024;
/**
 * Rows of the embedding and of the head that are written: only these ids are told apart. The head's rows come in pairs x, -x, so that the
 * likeliest id is one of them.
 */
export const USED_IDS = 128;
/** A down matrix gets its bytes in so many places, because each row is one output, and few outputs are no test of a wrong expert. */
const DOWN_PLACES = 16;

/** mulberry32, as in src/util/prng.ts; u in [0, 1). */
function prng(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** FNV-1a: each tensor has numbers of its own, wherever it lies. */
function hash(text, seed) {
  let h = 2166136261 ^ seed;
  for (const c of text) h = Math.imul(h ^ c.charCodeAt(0), 16777619);
  return h >>> 0;
}

function encode(values, dtype) {
  if (dtype === 'f32') return Buffer.from(values.buffer);
  const bits = new Uint32Array(values.buffer);
  return Buffer.from(Uint16Array.from(bits, (b) => (b + 0x7fff + ((b >>> 16) & 1)) >>> 16).buffer);
}

/** Every tensor in the order of the layers, with what is written of it: `places` of `count` numbers each, spread evenly. */
function tensorsOf(s, numberBytes) {
  const kvRows = (s.kvHeads * s.hidden) / s.heads;
  const pattern = PATTERN_BYTES / numberBytes;
  // Spread: uniform with this standard deviation, so that a row of `terms` written numbers, times values about 1, sums to about 1.
  const matrix = (name, shape, terms = shape[1], count = pattern, places = 1) => {
    const size = shape[0] * shape[1];
    return { name, shape, deviation: 1 / Math.sqrt(terms), count: Math.min(size, count), places };
  };
  const norm = (name) => ({ name, shape: [s.hidden], deviation: 0.1, mean: 1, count: s.hidden, places: 1 });
  const rows = Math.max(1, Math.floor(pattern / s.hidden)); // of a matrix with `hidden` columns
  const ids = s.hidden * Math.min(s.vocab, USED_IDS);
  const all = [matrix('model.embed_tokens.weight', [s.vocab, s.hidden], 1, ids)];
  for (let layer = 0; layer < s.layers; layer++) {
    const at = `model.layers.${layer}`;
    all.push(norm(`${at}.input_layernorm.weight`), norm(`${at}.post_attention_layernorm.weight`));
    all.push(matrix(`${at}.self_attn.q_proj.weight`, [s.hidden, s.hidden]));
    all.push(matrix(`${at}.self_attn.k_proj.weight`, [kvRows, s.hidden]));
    all.push(matrix(`${at}.self_attn.v_proj.weight`, [kvRows, s.hidden]));
    all.push(matrix(`${at}.self_attn.o_proj.weight`, [s.hidden, s.hidden], rows));
    // Scores of about 3: a few experts stand out, as they do in trained models.
    all.push(matrix(`${at}.block_sparse_moe.gate.weight`, [s.experts, s.hidden], s.hidden / 9, s.experts * s.hidden));
    for (let e = 0; e < s.experts; e++) {
      const expert = `${at}.block_sparse_moe.experts.${e}`;
      all.push(matrix(`${expert}.w1.weight`, [s.width, s.hidden]));
      all.push(matrix(`${expert}.w3.weight`, [s.width, s.hidden]));
      const places = Math.min(DOWN_PLACES, s.hidden);
      const count = Math.min(s.width, Math.floor(pattern / places));
      all.push(matrix(`${expert}.w2.weight`, [s.hidden, s.width], rows, count, places));
    }
  }
  all.push(norm('model.norm.weight'));
  all.push({ ...matrix('lm_head.weight', [s.vocab, s.hidden], s.hidden / 9, ids), pairedRows: s.hidden });
  return all.map((t) => ({ ...t, bytes: numberBytes * t.shape.reduce((a, b) => a * b, 1) }));
}

function numbersOf({ name, deviation, mean = 0, count, places, pairedRows }, seed) {
  const random = prng(hash(name, seed));
  const values = new Float32Array(count * places);
  for (let i = 0; i < values.length; i++) values[i] = mean + deviation * Math.sqrt(12) * (random() - 0.5);
  if (pairedRows)
    for (let i = pairedRows; i < values.length; i++)
      if (Math.floor(i / pairedRows) % 2) values[i] = -values[i - pairedRows];
  return values;
}

const configOf = (s, dtype) => ({
  architectures: ['MixtralForCausalLM'],
  model_type: 'mixtral',
  torch_dtype: dtype === 'bf16' ? 'bfloat16' : 'float32',
  hidden_act: 'silu',
  hidden_size: s.hidden,
  intermediate_size: s.width,
  max_position_embeddings: 32_768,
  num_attention_heads: s.heads,
  num_experts_per_tok: s.perToken,
  num_hidden_layers: s.layers,
  num_key_value_heads: s.kvHeads,
  num_local_experts: s.experts,
  rms_norm_eps: 1e-5,
  rope_theta: 1e6,
  sliding_window: null,
  tie_word_embeddings: false,
  vocab_size: s.vocab,
  bos_token_id: 1,
  eos_token_id: s.vocab - 1, // never drawn
});

function writeShard(path, tensors, dtype, seed) {
  let at = 0;
  const entries = {};
  for (const { name, shape, bytes } of tensors) {
    entries[name] = { dtype: DTYPES[dtype], shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  const json = JSON.stringify(entries);
  const dataAt = BLOCK * Math.ceil((8 + json.length) / BLOCK);
  const head = Buffer.alloc(dataAt, ' ');
  head.writeBigUInt64LE(BigInt(dataAt - 8));
  head.write(json, 8);
  const file = openSync(path, 'w');
  try {
    writeSync(file, head);
    ftruncateSync(file, dataAt + at);
    for (const tensor of tensors) {
      const bytes = encode(numbersOf(tensor, seed), dtype);
      const placeBytes = bytes.length / tensor.places;
      // The places begin with a row each, evenly spaced.
      const step = Math.floor(tensor.shape[0] / tensor.places) * (tensor.bytes / tensor.shape[0]);
      const begin = dataAt + entries[tensor.name].data_offsets[0];
      for (let p = 0; p < tensor.places; p++) writeSync(file, bytes, p * placeBytes, placeBytes, begin + p * step);
    }
  } finally {
    closeSync(file);
  }
  return dataAt + at;
}

/**
 * Writes config.json, the index and the shards into `out`, which is made.
 * @returns the names of the shards, and the bytes of all files by their sizes
 */
export function writeSparseCheckpoint({ out, dtype = 'bf16', seed = 1, shardBytes = SHARD_BYTES, ...shapes }) {
  if (!(dtype in DTYPES)) throw new Error(`dtype ${dtype} is none of ${Object.keys(DTYPES).join(', ')}`);
  const s = { ...MIXTRAL_8X7B, ...shapes };
  const groups = [[]];
  let used = 0;
  for (const tensor of tensorsOf(s, dtype === 'bf16' ? 2 : 4)) {
    if (used > 0 && used + tensor.bytes > shardBytes) {
      groups.push([]);
      used = 0;
    }
    groups.at(-1).push(tensor);
    used += tensor.bytes;
  }
  mkdirSync(out, { recursive: true });
  const number = (n) => String(n).padStart(5, '0');
  const shards = groups.map((_, i) => `model-${number(i + 1)}-of-${number(groups.length)}.safetensors`);
  const weightMap = Object.fromEntries(groups.flatMap((group, i) => group.map(({ name }) => [name, shards[i]])));
  const total = groups.flat().reduce((sum, t) => sum + t.bytes, 0);
  const index = JSON.stringify({ metadata: { total_size: total }, weight_map: weightMap });
  const config = JSON.stringify(configOf(s, dtype), null, 2);
  writeFileSync(join(out, 'config.json'), config);
  writeFileSync(join(out, 'model.safetensors.index.json'), index);
  const sizes = groups.map((group, i) => writeShard(join(out, shards[i]), group, dtype, seed));
  return { shards, bytes: sizes.reduce((a, b) => a + b, config.length + index.length) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      out: { type: 'string' },
      layers: { type: 'string', default: String(MIXTRAL_8X7B.layers) },
      dtype: { type: 'string', default: 'bf16' },
      seed: { type: 'string', default: '1' },
    },
  });
  const [layers, seed] = [values.layers, values.seed].map(Number);
  if (!values.out || !(layers >= 1) || !Number.isInteger(layers) || !Number.isInteger(seed)) {
    console.error('usage: node scripts/sparse-checkpoint.mjs --out DIR [--layers N] [--dtype bf16|f32] [--seed N]');
    process.exit(2);
  }
  const { shards, bytes } = writeSparseCheckpoint({ out: values.out, layers, dtype: values.dtype, seed });
  console.log(`${values.out}: ${(bytes / 1e9).toFixed(1)} GB in ${shards.length} shards, nearly all of it holes`);
}
