/** Checkpoints that nobody stored: the header that a config implies, with weights made up as they are read, or with none. */
import { InvalidRequest } from '../../errors.ts';
import { invariant } from '../../util/assert.ts';
import { alignUp } from '../../util/math.ts';
import type { ByteSource } from '../../weights/source.ts';
import { impliedTensors, type ImpliedTensor } from './implied.ts';

const WEIGHTS = 'model.safetensors';
const PIECE = 2 ** 20;
/** Bytes that are made from one seed. */
const BLOCK = 2 ** 13;
const BF16_ONE = 0x3f80;
/** The bf16 2^-6 and 2^-1; eight bits more reach four times as far. */
const BF16_SMALL = 0x3c80;
const BF16_HALF = 0x3f00;

interface Placed extends ImpliedTensor {
  readonly begin: number;
  readonly end: number;
}

function place(tensors: readonly ImpliedTensor[]): Placed[] {
  let at = 0;
  return tensors.map((tensor) => {
    const begin = at;
    at += tensor.shape.reduce((a, b) => a * b, tensor.dtype === 'BF16' ? 2 : 1);
    return { ...tensor, begin, end: at };
  });
}

function headOf(tensors: readonly Placed[]): Uint8Array<ArrayBuffer> {
  const entries = tensors.map(({ name, dtype, shape, begin, end }) => [
    name,
    { dtype, shape, data_offsets: [begin, end] },
  ]);
  const json = JSON.stringify(Object.fromEntries(entries));
  const length = alignUp(json.length, 8);
  const head = new Uint8Array(8 + length);
  new DataView(head.buffer).setBigUint64(0, BigInt(length), true);
  head.set(new TextEncoder().encode(json.padEnd(length)), 8);
  return head;
}

/** Numbers of either sign, from `least` to four times that, the same from the same seed: xorshift32. */
function drawBlock(seed: number, least: number): Uint8Array {
  const bits = new Uint16Array(BLOCK / 2);
  let x = Math.imul(seed + 1, 0x9e3779b1) | 1;
  for (let i = 0; i < bits.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bits[i] = (least + ((x >>> 8) & 0xff)) | ((x >>> 16) & 0x8000);
  }
  return new Uint8Array(bits.buffer);
}

const ONES = new Uint8Array(new Uint16Array(BLOCK / 2).fill(BF16_ONE).buffer);

/**
 * Bytes [from, from + out.length) of a tensor. Norms and other vectors are ones; the embedding, which comes first, is larger than what layers add to it:
 * else all tokens would look alike to the routers.
 */
function fill(out: Uint8Array, index: number, { shape, dtype }: Placed, from: number, seed: number): void {
  invariant(dtype === 'BF16', 'weights are made up in bf16 only');
  for (let at = 0; at < out.length;) {
    const block = Math.floor((from + at) / BLOCK);
    const skip = from + at - block * BLOCK;
    const length = Math.min(BLOCK - skip, out.length - at);
    const bytes =
      shape.length === 1 ? ONES : drawBlock(seed * 7919 + index * 104729 + block, index === 0 ? BF16_HALF : BF16_SMALL);
    out.set(bytes.subarray(skip, skip + length), at);
    at += length;
  }
}

/**
 * @param text of config.json
 * @param seed of the weights; null: there are none, and asking for one is an error
 * @throws as `impliedTensors`
 */
export function madeSource(label: string, text: string, seed: number | null): ByteSource {
  const tensors = place(impliedTensors(text));
  const head = headOf(tensors);
  const config = new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>;
  const sizes: Readonly<Record<string, number>> = {
    'config.json': config.length,
    [WEIGHTS]: head.length + tensors.at(-1)!.end,
  };
  const piece = (file: string, begin: number, end: number): Uint8Array => {
    const out = new Uint8Array(end - begin);
    const text = file === WEIGHTS ? head : config;
    out.set(text.subarray(begin, end));
    if (end <= text.length || seed === null) return out;
    tensors.forEach((tensor, i) => {
      const [from, to] = [head.length + tensor.begin, head.length + tensor.end];
      if (to <= begin || from >= end) return;
      const [a, b] = [Math.max(from, begin), Math.min(to, end)];
      fill(out.subarray(a - begin, b - begin), i, tensor, a - from, seed);
    });
    return out;
  };
  return {
    label,
    size: (file) => Promise.resolve(sizes[file] ?? null),
    async *stream(file, begin, end) {
      await Promise.resolve();
      // Readers ask for a little more than the header, to save a request.
      if (seed === null && file === WEIGHTS && begin >= head.length)
        throw new InvalidRequest(`${label} is a config without weights`, { file, begin, end });
      for (let at = begin; at < end; at += PIECE) yield piece(file, at, Math.min(end, at + PIECE));
    },
  };
}

export interface MadeShape {
  readonly experts: number; // E
  readonly topK: number; // K
  readonly width: number; // F
  readonly layers: number;
  readonly hidden: number;
  readonly vocab: number;
}

const HEAD_SIZE = 32;

/** A config.json of the plainest family, Qwen3-MoE, with heads of 32 and half as many KV heads. */
export function madeConfig({ experts, topK, width, layers, hidden, vocab }: MadeShape): string {
  if (topK > experts) throw new InvalidRequest(`--top-k ${topK} of --experts ${experts}: there are not so many`, {});
  if (hidden % (2 * HEAD_SIZE) !== 0)
    throw new InvalidRequest(`--hidden must be a multiple of ${2 * HEAD_SIZE}, got ${hidden}`, {});
  const heads = hidden / HEAD_SIZE;
  return JSON.stringify({
    architectures: ['Qwen3MoeForCausalLM'],
    model_type: 'qwen3_moe',
    torch_dtype: 'bfloat16',
    hidden_act: 'silu',
    hidden_size: hidden,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: heads / 2,
    head_dim: HEAD_SIZE,
    vocab_size: vocab,
    max_position_embeddings: 32768,
    rms_norm_eps: 1e-6,
    rope_theta: 1e6,
    num_experts: experts,
    num_experts_per_tok: topK,
    moe_intermediate_size: width,
    intermediate_size: 4 * hidden,
    decoder_sparse_step: 1,
    mlp_only_layers: [],
    norm_topk_prob: true,
    tie_word_embeddings: false,
    bos_token_id: 0,
    eos_token_id: 0,
  });
}
