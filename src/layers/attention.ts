/** One attention block: x -> x + attention(norm(x)). */
import type { GroupedAttention, LatentAttention, NormKind } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { attention, type AttentionShape } from '../kernels/attention/attention.ts';
import { attentionPaged } from '../kernels/attention/attention_paged.ts';
import { splitCount } from '../kernels/attention/attention_plan.ts';
import { convolveHeads } from '../kernels/attention/convolve_heads.ts';
import { canMakeHeads, type HeadsSource } from '../kernels/attention/heads.ts';
import type { KvFormat } from '../config/kv-format.ts';
import {
  canAbsorbInside,
  latentAbsorb,
  latentHeads,
  latentRaise,
  latentRow,
  type KvUp,
} from '../kernels/attention/latent.ts';
import { outputGate } from '../kernels/attention/output_gate.ts';
import type { KvPages } from '../kernels/attention/pages.ts';
import { pickHeads, spreadHeads } from '../kernels/attention/pick_heads.ts';
import { groupedHeads, rotateAppend, rotateAppendPaged } from '../kernels/attention/rotate_append.ts';
import type { LinearOptions } from '../kernels/linear/linear.ts';
import { fusesNorm } from '../kernels/linear/shared.ts';
import type { Phase } from '../kernels/phase.ts';
import { rmsNorm } from '../kernels/norm/rms_norm.ts';
import { filteredProjections, type FilterState } from './filter.ts';
import { linear } from './linear.ts';
import { invariant } from '../util/assert.ts';
import { addNormed, norm } from './norm.ts';
import { onlyPart, type DeviceParts } from './parts.ts';
import type { GroupedWeights, LatentWeights } from './weights.ts';

export type { Phase };

export interface KvCache {
  readonly keys: BufferView; // [Hk, C, key size]; of latent attention [C, kvRank + rope]
  /** [Hk, C, value size]; of latent attention the same buffer: a latent is key and value. */
  readonly values: BufferView;
  readonly capacity: number; // C
  readonly format: KvFormat;
  /** Only of attention with a filter. */
  readonly filter?: FilterState<BufferView>;
  /** Only of convolved attention: see kernels/attention/convolve_heads.ts. */
  readonly past?: BufferView;
}

export const isPaged = (cache: KvCache | KvPages): cache is KvPages => 'rows' in cache;

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
  readonly joinGains?: boolean; // see layers/norm.ts
  /** Attention joins norm(x) in place of x: see `ModelConfig.normedStream`. Default false. */
  readonly normedStream?: boolean;
  /** Gains and biases: see layers/norm.ts; null: attention reads x as it is. */
  readonly norm: BufferView | null; // [D] or [2 D]
  readonly rope: BufferView;
  /** Buckets of distances, where the config has a bias for them: see layers/distance.ts. */
  readonly buckets?: BufferView | null;
  /** How long the text is that an encoder read; only with one. */
  readonly encoded?: BufferView | null; // [1] u32
  /** Of the one sequence whose tokens follow each other; or pages, of whichever sequence each token is, in phase `prefill`. */
  readonly cache: KvCache | KvPages;
  readonly scratch: {
    readonly normed: BufferView; // [T, D]
    readonly mid: BufferView; // [T, qkv or latents]
    readonly qLatent: BufferView;
    /** [T, D] of attention with a filter. */
    readonly selected: BufferView;
    readonly qRaw: BufferView;
    /** [T, H, kvRank] of latent attention; [T, E G A] of a mixture of heads. */
    readonly raised: BufferView;
    readonly q: BufferView; // [T, H, key size]; of latent attention [T, H, kvRank + rope]
    readonly attended: BufferView; // [T, H, value size]
    readonly partials: BufferView;
  };
}

/** y = W norm(x), without gains W x. */
export function normedLinear(
  r: Recorder,
  label: string,
  phase: Phase,
  io: {
    x: BufferView;
    gamma: BufferView | null;
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
  if (!gamma) {
    linear(r, label, { x, weights, out, bias }, { phase });
    return;
  }
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
  if (config.filter) filteredProjections(r, config.filter, weights, s);
  else
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
  if (config.convolved) convolve(r, config, weights, s);
  const io = {
    qkv: mixture || config.convolved ? scratch.qRaw : scratch.mid,
    ...(weights.qNorm && weights.kNorm ? { qGamma: weights.qNorm, kGamma: weights.kNorm } : {}),
    rope: s.rope,
  };
  const options = { attention: config, normEps: eps };
  const made = headsOnTheWay(s, groupedHeads(label, io, options), weights.sinks !== null);
  if (!made) {
    const { q } = scratch;
    if (isPaged(cache)) rotateAppendPaged(r, `${label} rotate`, { ...io, q, pages: cache }, options);
    else {
      const to = { q, kCache: cache.keys, vCache: cache.values };
      rotateAppend(r, `${label} rotate`, { ...io, ...to }, { ...options, capacity: cache.capacity, kv: cache.format });
    }
  }
  const shape = { heads, kvHeads, keySize: headSize, valueSize: headSize, scale, window, chunked, softcap };
  attend(r, s, shape, { q: made ?? scratch.q, sinks: weights.sinks });
  if (config.outputGate) {
    const { of, by } = config.outputGate;
    const size = heads * headSize;
    const gate = {
      size,
      row: weights.qkv.rows,
      at: size + 2 * kvHeads * headSize,
      each: of === 'head' ? headSize : 1,
      by,
    };
    outputGate(r, `${label} gate`, { gates: scratch.mid, attended: scratch.attended }, gate);
  }
  if (mixture) {
    const io = { attended: scratch.attended, chosen: scratch.qLatent, out: scratch.raised };
    spreadHeads(r, `${label} spread`, io, mixture);
  }
  projectOut(r, s, weights.o, weights.oBias, mixture ? scratch.raised : scratch.attended);
}

function convolve(
  r: Recorder,
  config: GroupedAttention,
  { convolution }: GroupedWeights<DeviceParts, BufferView>,
  { label, scratch, cache }: AttentionStep,
): void {
  invariant(convolution && 'past' in cache && cache.past, `${label}: convolutions without weights or a state`);
  const { channels, heads: weights } = convolution;
  const io = { x: scratch.mid, channels, weights, state: cache.past, out: scratch.qRaw };
  convolveHeads(r, `${label} convolve`, io, config);
}

/** out = x + scale * W attended, or what a post norm makes of W attended. `normed` is free by then, unless it is what attention joins. */
export function projectOut(
  r: Recorder,
  s: AttentionStep,
  o: DeviceParts,
  bias: BufferView | null,
  attended = s.scratch.attended,
): void {
  const { label, phase, scale, x, out, postNorm, scratch } = s;
  const io = { x: attended, weights: o, bias };
  if (!postNorm) {
    const residual = s.normedStream ? scratch.normed : x;
    linear(r, `${label} out`, { ...io, residual, out }, { phase, scale });
    return;
  }
  linear(r, `${label} out`, { ...io, out: scratch.normed }, { phase });
  addNormed(r, s, scratch.normed, postNorm, o.rows);
}

export function latentAttention(
  r: Recorder,
  config: LatentAttention,
  weights: LatentWeights<DeviceParts, BufferView>,
  s: AttentionStep,
): void {
  const { label, x, scratch } = s;
  const phase = s.phase;
  const { heads, kvRank, ropeSize, nopeSize, scale, innerNormEps: eps } = config;
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
  const absorbs = absorbsInside(r, config, weights, s);
  const passes = absorbs ? { at: kvAt, to: heads * keySize, count: latentRow(config) } : undefined;
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
  const shape = { heads, kvHeads: 1, keySize: latentRow(config), valueSize: kvRank, scale, window: null };
  if (absorbs) {
    const io = { mid: q, kvUp: onlyPart(weights.kvUp), kvGamma: weights.kvNorm, rope: s.rope };
    attend(r, s, shape, { q: latentHeads(label, io, config), sinks: null });
  } else {
    const qRow = weights.qUp ? heads * keySize : row;
    attendLatents(r, config, weights, s, { shape, q, qRow, downRow: row, latentAt: kvAt });
  }
  projectOut(r, s, weights.o, null);
}

/** Whether the decode kernel takes queries down and results up itself. A software adapter has kernels without barriers for that. */
function absorbsInside(
  r: Recorder,
  config: LatentAttention,
  { qUp, kvUp }: LatentWeights<DeviceParts, BufferView>,
  { phase }: AttentionStep,
): boolean {
  const isWhole = kvUp.parts.length === 1 && (qUp?.parts.length ?? 1) === 1;
  return phase !== 'prefill' && r.gpu.facts.kernels === 'gpu' && isWhole && canAbsorbInside(config);
}

/**
 * The same in dispatches of their own. Prompts do it, too, in place of making keys and values of all visible latents: for chunks of up to about 170
 * tokens that is less work, and beyond it needs no room that grows with the context (docs/kv.md).
 */
function attendLatents(
  r: Recorder,
  config: LatentAttention,
  weights: LatentWeights<DeviceParts, BufferView>,
  s: AttentionStep,
  io: { shape: AttendShape; q: BufferView; qRow: number; downRow: number; latentAt: number },
): void {
  const { label, phase, scratch, cache } = s;
  const { q, qRow, downRow, latentAt } = io;
  const parts = weights.kvUp.parts.map(({ firstRow, matrix }): KvUp => {
    return { matrix, firstHead: firstRow / (config.nopeSize + config.valueSize) };
  });
  const shape = { attention: config, phase };
  for (const kvUp of parts) {
    latentAbsorb(
      r,
      `${label} absorb`,
      { q, down: scratch.mid, kvUp, kvGamma: weights.kvNorm, rope: s.rope, out: scratch.q, cache },
      { ...shape, qRow, downRow, latentAt },
    );
  }
  attend(r, s, io.shape, { q: scratch.q, sinks: null, out: scratch.raised });
  for (const kvUp of parts)
    latentRaise(r, `${label} raise`, { attended: scratch.raised, kvUp, out: scratch.attended }, shape);
}

/** Heads that the decode kernel makes itself; null where a dispatch of its own has to: for prompts, whose keys are shared among tokens. */
function headsOnTheWay({ phase, cache }: AttentionStep, source: HeadsSource, sinks: boolean): HeadsSource | null {
  if (isPaged(cache)) return null;
  return phase !== 'prefill' && canMakeHeads(source, { splits: splitCount(cache.capacity), sinks }) ? source : null;
}

type AttendShape = Omit<AttentionShape, 'capacity' | 'phase' | 'kv'>;

function attend(
  r: Recorder,
  { label, phase, scratch, cache }: AttentionStep,
  shape: AttendShape,
  { q, sinks, out = scratch.attended }: { q: BufferView | HeadsSource; sinks: BufferView | null; out?: BufferView },
): void {
  if (isPaged(cache)) {
    invariant('buffer' in q && phase === 'prefill', `${label}: pages are for phase prefill`);
    const io = { q, pages: cache, out, ...(sinks ? { sinks } : {}) };
    attentionPaged(r, `${label} attend`, io, shape);
    return;
  }
  attention(
    r,
    `${label} attend`,
    {
      q,
      kCache: cache.keys,
      vCache: cache.values,
      ...(sinks ? { sinks } : {}),
      partials: scratch.partials,
      out,
    },
    { ...shape, capacity: cache.capacity, kv: cache.format, phase },
  );
}
