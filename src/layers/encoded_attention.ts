/** Attention in the two stacks of an encoder-decoder: of an encoder's layer, of a decoder to itself, and of a decoder to the encoded text. */
import type { GroupedAttention } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { attentionBiased } from '../kernels/attention/attention_biased.ts';
import { rotateAppend } from '../kernels/attention/rotate_append.ts';
import { invariant } from '../util/assert.ts';
import { isPaged, normedLinear, projectOut, type AttentionStep, type KvCache } from './attention.ts';
import { linear } from './linear.ts';
import type { DeviceParts } from './parts.ts';
import type { GroupedWeights } from './weights.ts';

type Weights = GroupedWeights<DeviceParts, BufferView>;

/** Whether the kernels of a causal stack do not serve it. */
export const isOfStacks = ({ sees = 'before', distanceBias }: GroupedAttention): boolean =>
  sees !== 'before' || distanceBias !== undefined;

/** x -> x + attention(norm(x)). Keys and values of an encoded text are in the cache already: `appendEncoded`. */
export function encodedAttention(r: Recorder, config: GroupedAttention, weights: Weights, s: AttentionStep): void {
  const { label, phase, x, eps, scratch, cache } = s;
  invariant(!isPaged(cache), `${label}: pages are for causal stacks`);
  const isCross = config.sees === 'encoded';
  const q = isCross ? scratch.q : scratch.mid;
  const io = { x, gamma: s.norm, weights: weights.qkv, bias: weights.qkvBias, out: q, normed: scratch.normed };
  normedLinear(r, `${label} ${isCross ? 'q' : 'qkv'}`, phase, io, { eps, kind: s.normKind });
  if (!isCross) append(r, `${label} append`, config, { qkv: scratch.mid, q: scratch.q, rope: s.rope, cache, eps });
  const biased = weights.distanceBias && s.buckets ? { bias: weights.distanceBias, buckets: s.buckets } : {};
  attentionBiased(
    r,
    `${label} attend`,
    {
      q: scratch.q,
      kCache: cache.keys,
      vCache: cache.values,
      out: scratch.attended,
      ...biased,
      ...(weights.sinks ? { sinks: weights.sinks } : {}),
      ...(isCross && s.encoded ? { encoded: s.encoded } : {}),
    },
    { attention: config, capacity: cache.capacity, kv: cache.format },
  );
  projectOut(r, s, weights.o, weights.oBias);
}

interface AppendIo {
  readonly qkv: BufferView;
  readonly q: BufferView;
  readonly rope: BufferView;
  readonly cache: KvCache;
  readonly eps: number;
}

function append(r: Recorder, label: string, attention: GroupedAttention, { qkv, q, rope, cache, eps }: AppendIo): void {
  const io = { qkv, q, rope, kCache: cache.keys, vCache: cache.values };
  rotateAppend(r, label, io, { attention, normEps: eps, capacity: cache.capacity, kv: cache.format });
}

/** Keys and values, for one layer of the decoder, of what the encoder gives. @param io.normed [T, D], after the encoder's norm */
export function appendEncoded(
  r: Recorder,
  label: string,
  attention: GroupedAttention,
  { kv, kvBias: bias }: Weights,
  { normed, mid, ...io }: { readonly normed: BufferView; readonly mid: BufferView } & Omit<AppendIo, 'qkv'>,
): void {
  invariant(kv, `${label}: attention to an encoded text has weights of its own for keys and values`);
  linear(r, `${label} kv`, { x: normed, weights: kv, bias, out: mid }, { phase: 'prefill' });
  append(r, `${label} append`, { ...attention, heads: 0 }, { qkv: mid, ...io });
}
