/** One attention block: x -> x + attention(norm(x)). */
import type { GroupedAttention, LatentAttention, NormKind } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { attention, type AttentionShape } from '../kernels/attention/attention.ts';
import { splitCount } from '../kernels/attention/attention_plan.ts';
import { canMakeHeads, type HeadsSource } from '../kernels/attention/heads.ts';
import { latentAppend, latentHeads, risingHeads } from '../kernels/attention/latent_append.ts';
import { outputGate } from '../kernels/attention/output_gate.ts';
import { pickHeads, spreadHeads } from '../kernels/attention/pick_heads.ts';
import { groupedHeads, rotateAppend } from '../kernels/attention/rotate_append.ts';
import type { LinearOptions } from '../kernels/linear/linear.ts';
import { fusesNorm } from '../kernels/linear/shared.ts';
import { rmsNorm } from '../kernels/norm/rms_norm.ts';
import { linear } from './linear.ts';
import { norm } from './norm.ts';
import { onlyPart, type DeviceParts } from './parts.ts';
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
  /** Attention goes through this norm before it joins x; null: it joins as it is. */
  readonly postNorm: BufferView | null;
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

/** y = W norm(x). */
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
  {
    eps,
    row,
    at = 0,
    kind = 'rms',
    passes,
  }: { eps: number; row?: number; at?: number; kind?: NormKind; passes?: LinearOptions['passes'] },
): void {
  const { x, gamma, weights, out, normed } = io;
  const bias = io.bias ?? null;
  const size = weights.cols;
  if (kind !== 'rms') {
    norm(r, `${label} norm`, { x, gamma, out: normed }, { kind, size, eps });
    linear(r, label, { x: normed, weights, out, bias }, { phase });
    return;
  }
  if (fusesNorm(r.gpu.facts.kernels, phase)) {
    // What is passed on lies behind the product, in a longer row.
    const place = passes ? { passes, outRow: weights.rows + passes.count } : {};
    linear(r, label, { x, gamma, weights, out, bias }, { phase, eps, xRow: row ?? size, xAt: at, ...place });
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
  const { heads, kvHeads, headSize, scale, window, chunked = false, softcap } = config;
  normedLinear(
    r,
    `${label} qkv`,
    phase,
    { x, gamma: s.norm, weights: weights.qkv, bias: weights.qkvBias, out: scratch.mid, normed: scratch.normed },
    { eps, kind: s.normKind },
  );
  const mixture = config.mixture && { ...config.mixture, group: kvHeads, size: headSize };
  if (mixture) {
    pickHeads(r, `${label} pick`, { x: scratch.mid, picked: scratch.qRaw, chosen: scratch.qLatent }, mixture);
  }
  const io = {
    qkv: mixture ? scratch.qRaw : scratch.mid,
    ...(weights.qNorm && weights.kNorm ? { qGamma: weights.qNorm, kGamma: weights.kNorm } : {}),
    rope: s.rope,
  };
  const options = { attention: config, normEps: eps };
  const made = headsOnTheWay(s, groupedHeads(label, io, options), weights.sinks !== null);
  if (!made) {
    const to = { q: scratch.q, kCache: cache.keys, vCache: cache.values };
    rotateAppend(r, `${label} rotate`, { ...io, ...to }, { ...options, capacity: cache.capacity });
  }
  const shape = { heads, kvHeads, keySize: headSize, valueSize: headSize, scale, window, chunked, softcap };
  attend(r, s, shape, { q: made ?? scratch.q, sinks: weights.sinks });
  if (config.outputGate) {
    const gate = { size: heads * headSize, row: weights.qkv.rows, at: (heads + 2 * kvHeads) * headSize };
    outputGate(r, `${label} gate`, { gates: scratch.mid, attended: scratch.attended }, gate);
  }
  if (mixture) {
    const io = { attended: scratch.attended, chosen: scratch.qLatent, out: scratch.kvUp };
    spreadHeads(r, `${label} spread`, io, mixture);
  }
  projectOut(r, s, weights.o, weights.oBias, mixture ? scratch.kvUp : scratch.attended);
}

/** out = x + scale * W attended, or what a post norm makes of W attended. `normed` is free by then. */
function projectOut(
  r: Recorder,
  s: AttentionStep,
  o: DeviceParts,
  bias: BufferView | null,
  attended = s.scratch.attended,
): void {
  const { label, phase, eps, scale, x, out, postNorm, scratch } = s;
  const io = { x: attended, weights: o, bias };
  if (!postNorm) {
    linear(r, `${label} out`, { ...io, residual: x, out }, { phase, scale });
    return;
  }
  linear(r, `${label} out`, { ...io, out: scratch.normed }, { phase });
  const shape = { size: o.rows, eps, scale };
  rmsNorm(r, `${label} post norm`, { x: scratch.normed, gamma: postNorm, residual: x, out }, shape);
}

export function latentAttention(
  r: Recorder,
  config: LatentAttention,
  weights: LatentWeights<DeviceParts, BufferView>,
  s: AttentionStep,
): void {
  const { label, x, scratch } = s;
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
  const rises = risesInside(r, weights, s);
  const passes = rises ? { at: kvAt, to: heads * keySize, count: kvRank + ropeSize } : undefined;
  if (weights.qUp && weights.qNorm) {
    normedLinear(
      r,
      `${label} q up`,
      phase,
      { x: scratch.mid, gamma: weights.qNorm, weights: weights.qUp, out: scratch.qRaw, normed: scratch.qLatent },
      { eps, row, ...(passes && { passes }) },
    );
  }
  const q = weights.qUp ? scratch.qRaw : scratch.mid;
  const made = rises
    ? risingHeads(label, { mid: q, kvUp: onlyPart(weights.kvUp), kvGamma: weights.kvNorm, rope: s.rope }, config)
    : appendedHeads(r, config, weights, s, { q, row, kvAt });
  const shape = { heads, kvHeads: heads, keySize, valueSize, scale, window: null };
  attend(r, s, shape, { q: made, sinks: null });
  projectOut(r, s, weights.o, null);
}

/** Whether the decode kernel makes keys and values from the latent itself. A software adapter has kernels without barriers for the product. */
function risesInside(
  r: Recorder,
  { qUp, kvUp }: LatentWeights<DeviceParts, BufferView>,
  { phase }: AttentionStep,
): boolean {
  const isWhole = kvUp.parts.length === 1 && (qUp?.parts.length ?? 1) === 1;
  return phase === 'decode' && r.gpu.facts.kernels === 'gpu' && isWhole;
}

/** Nope keys and values by a dispatch of their own; and for prompts one that puts all into the caches. */
function appendedHeads(
  r: Recorder,
  config: LatentAttention,
  weights: LatentWeights<DeviceParts, BufferView>,
  s: AttentionStep,
  { q, row, kvAt }: { q: BufferView; row: number; kvAt: number },
): BufferView | HeadsSource {
  const { label, phase, scratch, cache } = s;
  const { heads, nopeSize, ropeSize, innerNormEps: eps } = config;
  normedLinear(
    r,
    `${label} kv up`,
    phase,
    { x: scratch.mid, gamma: weights.kvNorm, weights: weights.kvUp, out: scratch.kvUp, normed: scratch.kvLatent },
    { eps, row, at: kvAt },
  );
  const io = { q, kvUp: scratch.kvUp, kvDown: scratch.mid, rope: s.rope };
  const qRow = weights.qUp ? heads * (nopeSize + ropeSize) : row;
  const options = { attention: config, qRow, qAt: 0, kvDownRow: row, kvDownAt: kvAt };
  const made = headsOnTheWay(s, latentHeads(label, io, options), false);
  if (made) return made;
  const to = { qOut: scratch.q, kCache: cache.keys, vCache: cache.values };
  latentAppend(r, `${label} rotate`, { ...io, ...to }, { ...options, capacity: cache.capacity });
  return scratch.q;
}

/** Heads that the decode kernel makes itself; null where a dispatch of its own has to: for prompts, whose keys are shared among tokens. */
function headsOnTheWay({ phase, cache }: AttentionStep, source: HeadsSource, sinks: boolean): HeadsSource | null {
  return phase === 'decode' && canMakeHeads(source, { splits: splitCount(cache.capacity), sinks }) ? source : null;
}

function attend(
  r: Recorder,
  { label, phase, scratch, cache }: AttentionStep,
  shape: Omit<AttentionShape, 'capacity' | 'phase'>,
  { q, sinks }: { q: BufferView | HeadsSource; sinks: BufferView | null },
): void {
  attention(
    r,
    `${label} attend`,
    {
      q,
      kCache: cache.keys,
      vCache: cache.values,
      ...(sinks ? { sinks } : {}),
      partials: scratch.partials,
      out: scratch.attended,
    },
    { ...shape, capacity: cache.capacity, phase },
  );
}
