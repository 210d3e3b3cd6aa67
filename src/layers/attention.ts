/** One attention block: x -> x + attention(norm(x)). */
import type { GroupedAttention, LatentAttention, NormKind } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { attention } from '../kernels/attention/attention.ts';
import { latentAppend } from '../kernels/attention/latent_append.ts';
import { rotateAppend } from '../kernels/attention/rotate_append.ts';
import { gate } from '../kernels/mixer/gate.ts';
import { rmsNorm } from '../kernels/norm/rms_norm.ts';
import { linear } from './linear.ts';
import { norm } from './norm.ts';
import type { DeviceParts } from './parts.ts';
import type { GroupedWeights, LatentWeights } from './weights.ts';

/** Which of an operation's two kernels: one for few tokens, or one that shares what it reads among many. */
export type Phase = 'decode' | 'prefill';

export interface KvCache {
  readonly keys: BufferView; // [Hk, C, key size]
  readonly values: BufferView; // [Hk, C, value size]
  readonly capacity: number; // C
}

export interface AttentionStep {
  readonly label: string;
  readonly phase: Phase;
  readonly normKind: NormKind;
  readonly eps: number;
  /** Multiplies attention before it joins x. */
  readonly scale: number;
  readonly x: BufferView; // [T, D]
  /** x + scale * attention; another buffer than x. */
  readonly out: BufferView; // [T, D]
  /** Gains and biases: see layers/norm.ts. */
  readonly norm: BufferView; // [D] or [2 D]
  readonly rope: BufferView;
  readonly cache: KvCache;
  readonly scratch: {
    readonly normed: BufferView; // [T, D]
    readonly mid: BufferView; // [T, qkv or latents]
    readonly qLatent: BufferView;
    readonly kvLatent: BufferView;
    readonly qRaw: BufferView;
    readonly kvUp: BufferView;
    readonly q: BufferView; // [T, H, key size]
    readonly attended: BufferView; // [T, H, value size]
    readonly partials: BufferView;
  };
}

/** y = W norm(x): an RMS norm is folded into the decode kernel and a dispatch of its own in prefill, where the rows of x are reused. */
export function normedLinear(
  r: Recorder,
  label: string,
  phase: Phase,
  io: {
    x: BufferView;
    gamma: BufferView;
    weights: DeviceParts;
    out: BufferView;
    bias?: BufferView | null;
    normed: BufferView;
  },
  { eps, row, at = 0, kind = 'rms' }: { eps: number; row?: number; at?: number; kind?: NormKind },
): void {
  const { x, gamma, weights, out, normed } = io;
  const bias = io.bias ?? null;
  const size = weights.cols;
  if (kind !== 'rms') {
    norm(r, `${label} norm`, { x, gamma, out: normed }, { kind, size, eps });
    linear(r, label, { x: normed, weights, out, bias }, { phase });
    return;
  }
  if (phase === 'decode') {
    linear(r, label, { x, gamma, weights, out, bias }, { phase, eps, xRow: row ?? size, xAt: at });
    return;
  }
  rmsNorm(r, `${label} norm`, { x, gamma, out: normed }, { size, eps, row: row ?? size, at });
  linear(r, label, { x: normed, weights, out, bias }, { phase });
}

export function groupedAttention(
  r: Recorder,
  config: GroupedAttention,
  weights: GroupedWeights<DeviceParts, BufferView>,
  s: AttentionStep,
): void {
  const { label, eps, x, scratch, cache } = s;
  const phase = s.phase;
  const { heads, kvHeads, headSize, scale, window } = config;
  normedLinear(
    r,
    `${label} qkv`,
    phase,
    { x, gamma: s.norm, weights: weights.qkv, bias: weights.qkvBias, out: scratch.mid, normed: scratch.normed },
    { eps, kind: s.normKind },
  );
  rotateAppend(
    r,
    `${label} rotate`,
    {
      qkv: scratch.mid,
      ...(weights.qNorm && weights.kNorm ? { qGamma: weights.qNorm, kGamma: weights.kNorm } : {}),
      rope: s.rope,
      q: scratch.q,
      kCache: cache.keys,
      vCache: cache.values,
    },
    { attention: config, capacity: cache.capacity, normEps: eps },
  );
  attend(r, s, { heads, kvHeads, keySize: headSize, valueSize: headSize, scale, window }, weights.sinks);
  if (weights.outputGate) gateOutput(r, weights.outputGate, s);
  linear(
    r,
    `${label} out`,
    { x: scratch.attended, weights: weights.o, bias: weights.oBias, residual: x, out: s.out },
    { phase, scale: s.scale },
  );
}

/** attended *= sigmoid(W norm(x)). */
function gateOutput(r: Recorder, weights: DeviceParts, s: AttentionStep): void {
  const { attended, qRaw: out, normed } = s.scratch;
  const size = weights.rows;
  normedLinear(
    r,
    `${s.label} gate`,
    s.phase,
    { x: s.x, gamma: s.norm, weights, out, normed },
    { eps: s.eps, kind: s.normKind },
  );
  gate(r, `${s.label} gated`, { x: attended, gate: { view: out, row: size, at: 0 } }, { size, silu: false });
}

export function latentAttention(
  r: Recorder,
  config: LatentAttention,
  weights: LatentWeights<DeviceParts, BufferView>,
  s: AttentionStep,
): void {
  const { label, x, scratch, cache } = s;
  const phase = s.phase;
  const { heads, kvRank, ropeSize, nopeSize, valueSize, scale, innerNormEps: eps } = config;
  const keySize = nopeSize + ropeSize;
  const row = weights.down.rows; // q or its latent, kv latent, shared rope key
  const kvAt = row - kvRank - ropeSize;
  normedLinear(
    r,
    `${label} down`,
    phase,
    { x, gamma: s.norm, weights: weights.down, out: scratch.mid, normed: scratch.normed },
    { eps: s.eps, kind: s.normKind },
  );
  if (weights.qUp && weights.qNorm) {
    normedLinear(
      r,
      `${label} q up`,
      phase,
      { x: scratch.mid, gamma: weights.qNorm, weights: weights.qUp, out: scratch.qRaw, normed: scratch.qLatent },
      { eps, row },
    );
  }
  normedLinear(
    r,
    `${label} kv up`,
    phase,
    { x: scratch.mid, gamma: weights.kvNorm, weights: weights.kvUp, out: scratch.kvUp, normed: scratch.kvLatent },
    { eps, row, at: kvAt },
  );
  latentAppend(
    r,
    `${label} rotate`,
    {
      q: weights.qUp ? scratch.qRaw : scratch.mid,
      kvUp: scratch.kvUp,
      kvDown: scratch.mid,
      rope: s.rope,
      qOut: scratch.q,
      kCache: cache.keys,
      vCache: cache.values,
    },
    {
      attention: config,
      capacity: cache.capacity,
      qRow: weights.qUp ? heads * keySize : row,
      qAt: 0,
      kvDownRow: row,
      kvDownAt: kvAt,
    },
  );
  attend(r, s, { heads, kvHeads: heads, keySize, valueSize, scale, window: null }, null);
  linear(
    r,
    `${label} out`,
    { x: scratch.attended, weights: weights.o, residual: x, out: s.out },
    { phase, scale: s.scale },
  );
}

function attend(
  r: Recorder,
  { label, phase, scratch, cache }: AttentionStep,
  shape: { heads: number; kvHeads: number; keySize: number; valueSize: number; scale: number; window: number | null },
  sinks: BufferView | null,
): void {
  attention(
    r,
    `${label} attend`,
    {
      q: scratch.q,
      kCache: cache.keys,
      vCache: cache.values,
      ...(sinks ? { sinks } : {}),
      partials: scratch.partials,
      out: scratch.attended,
    },
    { ...shape, capacity: cache.capacity, phase },
  );
}
