/** The buffers that a step computes in, and the strides inside the logs that it leaves: sizes, from the config alone. */
import { upRows, valueRows } from '../config/activation.ts';
import {
  attentionLayers,
  carriesState,
  gateRows,
  isConvolved,
  isFiltered,
  isRecurrent,
  recurrentLayers,
} from '../config/mixers.ts';
import type {
  Activation,
  AttentionConfig,
  GroupedAttention,
  MixerConfig,
  ModelConfig,
  MoeFfn,
} from '../config/model-config.ts';
import { BINDING_ALIGNMENT, bufferBytes } from '../gpu/buffer.ts';
import { partialsBytes } from '../kernels/attention/attention.ts';
import type { KvFormat } from '../config/kv-format.ts';
import { fitsKvFormat, kvRowBytes } from '../kernels/attention/kv_format.ts';
import { convolvedPast } from '../kernels/attention/convolve_heads.ts';
import { latentRow } from '../kernels/attention/latent.ts';
import { triplesRoom } from '../kernels/linear/glu_triples.ts';
import { besideAt } from '../kernels/moe/beside.ts';
import { tileBound } from '../kernels/moe/group.ts';
import { interventionBytes } from '../kernels/moe/intervention.ts';
import { predictedIds, routedBytes } from '../kernels/moe/route.ts';
import { FEW_TOKENS } from '../kernels/phase.ts';
import { SAMPLED_WORDS } from '../kernels/sample/sample.ts';
import type { FilterState } from '../layers/filter.ts';
import { convState } from '../kernels/mixer/causal_conv.ts';
import { recurrentSizes, type RecurrentSizes } from '../layers/mixer_step.ts';
import { bucketCount } from '../layers/distance.ts';
import { alignUp, sum } from '../util/math.ts';

/** Expert tile rows of the grouped GEMM. */
export const TILE_ROWS = 16;
/** Tokens of a decode step. */
export const DECODE_TOKENS = 1;

/** The most tokens of a step of a few; 1: there are none, because a recurrent state cannot be cut back to one of them, a decoder beside an encoder takes one at a time, or chunks are that short. */
export const fewTokens = (config: ModelConfig, chunk: number): number =>
  carriesState(config) || config.encoder ? 1 : Math.min(FEW_TOKENS, chunk);

/** Steps that may be on the GPU behind the one whose token is waited for. */
export const MOST_AHEAD = 2;

/** Bytes of what a step of `tokens` brings back: a draw each, and its routing. */
export const fewReadbackBytes = (tokens: number, routed: number): number =>
  4 * SAMPLED_WORDS * tokens + Math.max(4, routed);

export const ACTIVATIONS = [
  'ids',
  'residualA',
  'residualB',
  'residualC',
  'mids',
  'layerInputs',
  'routerStates',
  'normed',
  'mid',
  'qLatent',
  'selected',
  'qRaw',
  'raised',
  'q',
  'attended',
  'partials',
  'dense',
  'routed',
  'sharedWeight',
  'pairOfRow',
  'rowOfPair',
  'tiles',
  'counts',
  'act',
  'y',
  'logits',
] as const;
export type ActivationName = (typeof ACTIVATIONS)[number];

/** Sizes of one layer's attention, in values per token. */
export interface AttentionSizes {
  readonly mid: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly heads: number;
  readonly kvHeads: number;
  /** Of a head, what its output projection takes. */
  readonly outSize: number;
}

export function attentionSizes(a: AttentionConfig): AttentionSizes {
  if (a.kind === 'grouped') {
    const { experts } = a.mixture ?? { experts: 0 };
    return {
      mid: experts
        ? (experts + 2) * a.kvHeads * a.headSize + experts
        : (a.heads + 2 * a.kvHeads) * a.headSize + gateRows(a),
      keySize: a.headSize,
      valueSize: a.headSize,
      heads: a.heads,
      kvHeads: a.kvHeads,
      outSize: a.headSize,
    };
  }
  // All heads attend to the latents themselves.
  return {
    mid: (a.qRank ?? a.heads * (a.nopeSize + a.ropeSize)) + a.kvRank + a.ropeSize,
    keySize: latentRow(a),
    valueSize: a.kvRank,
    heads: a.heads,
    kvHeads: 1,
    outSize: a.valueSize,
  };
}

interface KeyBytes {
  readonly keys: number;
  readonly values: number;
}

/**
 * Bytes of what a layer keeps of the tokens so far: keys and values, or latents, which are both; or a recurrent state, which takes the same however
 * many they are.
 */
export function cacheBytes(
  mixer: MixerConfig,
  { hidden, context, kv }: { readonly hidden: number; readonly context: number; readonly kv: KvFormat },
):
  | KeyBytes
  | (KeyBytes & FilterState<number>)
  | (KeyBytes & { readonly past: number })
  | { readonly latents: number }
  | RecurrentSizes['state'] {
  if (isRecurrent(mixer)) {
    const { convolution, scan } = recurrentSizes(mixer, hidden).state;
    return { convolution: 4 * convolution, scan: 4 * scan };
  }
  const { kvHeads, keySize, valueSize } = attentionSizes(mixer);
  const keys = kvHeads * context * kvRowBytes(kv, keySize);
  if (mixer.kind === 'latent') return { latents: keys };
  const cache = { keys, values: kvHeads * context * kvRowBytes(kv, valueSize) };
  if (mixer.convolved) return { ...cache, past: 4 * convolvedPast(mixer) };
  if (!mixer.filter) return cache;
  const [inputs, inner] = [hidden, hidden / 2].map((channels) => 4 * convState({ channels, taps: 2 })) as [
    number,
    number,
  ];
  return { ...cache, inputs, inner };
}

/** Keys and values of an encoder's layer are nobody's after it: all its layers share those of the first. */
export const hasOwnCache = ({ encoder }: ModelConfig, i: number): boolean => i === 0 || i >= (encoder?.layers ?? 0);

/** Layers with the same have the same buckets of distances. */
export const distanceKey = ({ sees = 'before', distanceBias }: GroupedAttention): string =>
  JSON.stringify([sees, distanceBias]);

/** Bytes of what only a model with an encoder has: the length of the encoded text, and the buckets of distances. */
export function stackTableBytes(config: ModelConfig): number {
  const biased = config.layers.map((l) => l.mixer).filter((m) => m.kind === 'grouped' && m.distanceBias);
  const tables = new Map(
    biased.map((m) => [distanceKey(m as GroupedAttention), bucketCount((m as GroupedAttention).distanceBias!)]),
  );
  return sum([...tables.values()].map((count) => bufferBytes(4 * count))) + (config.encoder ? bufferBytes(4) : 0);
}

/** Bytes of what is added to embeddings, position by position. */
export const sinusoidBytes = ({ sinusoids, hidden }: ModelConfig, context: number): number =>
  sinusoids ? bufferBytes(4 * context * hidden) : 0;

/** Whether the keys and values of every layer can lie in that format. */
export const canKeep = (config: ModelConfig, kv: KvFormat): boolean =>
  attentionLayers(config)
    .map(attentionSizes)
    .every(({ keySize, valueSize }) => fitsKvFormat(kv, keySize) && fitsKvFormat(kv, valueSize));

export const moeLayers = (config: ModelConfig): MoeFfn[] =>
  config.layers.map((l) => l.ffn).filter((f) => f.kind === 'moe');

/** Bytes from one MoE layer's input to the next: decoding keeps all of a token's, to start again from any. */
/** Whether some router reads what its layer reads, or its experts do: decoding keeps that of every MoE layer too. */
export const keepsLayerInputs = (config: ModelConfig): boolean =>
  moeLayers(config).some((m) => m.routerInput === 'layer' || m.reads === 'layer');

/** Values of the states that routers carry; 0 where none does. */
const routerState = (config: ModelConfig): number => Math.max(0, ...moeLayers(config).map((m) => m.router.state ?? 0));

/** Bytes from one router's state to the next, of a single token, which can start again from any of them. */
export const routerStateStride = (config: ModelConfig): number =>
  alignUp(DECODE_TOKENS * routerState(config) * 4, BINDING_ALIGNMENT);

export const midStride = (hidden: number): number => alignUp(DECODE_TOKENS * hidden * 4, BINDING_ALIGNMENT);

/** Entries from one layer's slot table to the next: its experts, and one that says whether the expert beside them runs in a wave. */
export const slotTableStride = (config: ModelConfig): number =>
  alignUp(Math.max(1, ...moeLayers(config).map((m) => m.experts + 1)) * 4, BINDING_ALIGNMENT) / 4;

/**
 * Bytes from one layer's routing log to the next: a storage binding must start on a multiple of 256. A decode step may predict as well.
 * @param logits whether the log also holds the router's logits
 */
export const routedStride = (tokens: number, { topK, experts }: MoeFfn, predicts = false, logits = false): number =>
  alignUp(
    routedBytes(tokens, topK, predicts ? predictedIds(topK, experts) : 0, logits ? experts : 0),
    BINDING_ALIGNMENT,
  );

/** Where each MoE layer's intervention begins, and at the end the bytes of all. */
export function interventionOffsets(config: ModelConfig): number[] {
  const offsets = [0];
  for (const { experts } of moeLayers(config)) offsets.push(offsets.at(-1)! + interventionBytes(experts));
  return offsets;
}

/** Floats that so many values of a feed-forward take: those of a double gate lie in front of their products. */
const withProducts = (values: number, activation: Activation): number =>
  valueRows(activation) === 3 ? triplesRoom(values) : values;

/** Bytes of each buffer for chunks of `chunk` tokens in a context of `context`. */
export function activationBytes(config: ModelConfig, chunk: number, context: number): Record<ActivationName, number> {
  const { hidden, vocab } = config;
  const attention = attentionLayers(config);
  const sizes = attention.map(attentionSizes);
  const recurrent = recurrentLayers(config).map((mixer) => recurrentSizes(mixer, hidden));
  const moes = moeLayers(config);
  const filtered = attention.some(isFiltered) ? hidden : 0;
  const most = (values: readonly number[]): number => Math.max(1, ...values);
  const f32 = (values: number): number => 4 * values;
  const latent = attention.filter((a) => a.kind === 'latent');
  const mixed = attention.filter((a) => a.kind === 'grouped').filter((a) => a.mixture !== undefined);
  const convolved = attention.filter(isConvolved);
  const state = routerState(config);
  const dense = config.layers.map(({ ffn }) => {
    if (ffn.kind === 'none') return 0;
    const { activation } = ffn;
    const width = ffn.kind === 'dense' ? ffn.width : Math.max(ffn.shared?.width ?? 0, ffn.parallel?.width ?? 0);
    return withProducts(chunk * width, activation);
  });
  const biased = config.layers.map(({ ffn }) =>
    ffn.kind === 'dense' && ffn.bias ? upRows(ffn.width, ffn.activation) : 0,
  );
  const pairs = most(moes.map((m) => chunk * m.topK));
  const few = fewTokens(config, chunk);
  return {
    ids: f32(chunk),
    residualA: f32(chunk * hidden),
    residualB: f32(chunk * hidden),
    residualC: f32(chunk * hidden),
    mids: Math.max(1, moes.length * midStride(hidden)),
    layerInputs: Math.max(1, keepsLayerInputs(config) ? moes.length * midStride(hidden) : 0),
    routerStates: Math.max(1, moes.length * routerStateStride(config), f32(chunk * state)),
    normed: f32(chunk * hidden),
    mid: f32(chunk * most([...sizes.map((s) => s.mid), ...recurrent.map((s) => s.projected), ...biased])),
    qLatent: f32(
      chunk *
        most([
          ...latent.map((a) => a.qRank ?? 0),
          ...mixed.map((a) => 2 * a.mixture!.topK),
          filtered,
          state,
          ...recurrent.map((s) => s.b),
        ]),
    ),
    selected: f32(chunk * most([filtered, ...recurrent.map((s) => s.selected)])),
    // In decode the latent and the rope key go on behind q.
    qRaw: f32(
      chunk *
        most([
          ...latent.map((a) => a.heads * (a.nopeSize + a.ropeSize) + a.kvRank + a.ropeSize),
          ...[...mixed, ...convolved].map((a) => (a.heads + 2 * a.kvHeads) * a.headSize),
          filtered / 2,
          ...recurrent.map((s) => s.steps),
        ]),
    ),
    raised: f32(
      chunk *
        most([
          ...latent.map((a) => a.heads * a.kvRank),
          ...mixed.map((a) => a.mixture!.experts * a.kvHeads * a.headSize),
          filtered / 2,
          state,
          ...recurrent.map((s) => s.c),
        ]),
    ),
    q: f32(chunk * most([...sizes.map((s) => s.heads * s.keySize), ...recurrent.map((s) => s.convolved)])),
    attended: f32(chunk * most([filtered, ...sizes.map((s) => s.heads * s.outSize), ...recurrent.map((s) => s.mixed)])),
    partials: most(
      sizes.map((s) => partialsBytes({ heads: s.heads, valueSize: s.valueSize, capacity: context, tokens: few })),
    ),
    dense: f32(most([...dense, chunk])),
    routed: most([sum(moes.map((m) => routedStride(chunk, m)))]),
    sharedWeight: f32(chunk),
    pairOfRow: f32(pairs),
    rowOfPair: f32(pairs),
    tiles: most(moes.map((m) => 16 * (1 + tileBound(chunk * m.topK, m.experts, TILE_ROWS)))),
    counts: f32(most(moes.map((m) => m.experts))),
    act: f32(
      most(
        moes.map((m) => withProducts(besideAt(chunk * m.topK, m.width) + chunk * (m.shared?.width ?? 0), m.activation)),
      ),
    ),
    y: f32(most(moes.map((m) => besideAt(chunk * m.topK, m.latent ?? hidden) + (m.shared ? chunk * hidden : 0)))),
    logits: f32(few * vocab),
  };
}
