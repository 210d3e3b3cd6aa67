/** Records the embedding and all layers; the residual stream ends as `finalResidual` says. */
import { subview, type BufferView } from '../../gpu/buffer.ts';
import type { Program, Recorder } from '../../gpu/recording.ts';
import { embedRows } from '../../kernels/embed/embed_rows.ts';
import type { RouterStates } from '../../kernels/moe/router_state.ts';
import { gainAdd } from '../../kernels/norm/gain_add.ts';
import type { KvPages } from '../../kernels/attention/pages.ts';
import type { TileRows } from '../../kernels/moe/group.ts';
import { appendEncoded } from '../../layers/encoded_attention.ts';
import { denseLayer } from '../../layers/ffn.ts';
import { norm } from '../../layers/norm.ts';
import { moeLayer } from '../../moe/block.ts';
import type { MoeMarks, MoeStep } from '../../moe/step.ts';
import type { ExpertHomes } from '../../moe/homes.ts';
import { invariant } from '../../util/assert.ts';
import { keepsLayerInputs, midStride, moeLayers, routerStateStride } from '../activations.ts';
import type { DeviceWeights } from '../upload.ts';
import { PHASES, type Batch } from './batch.ts';
import { recordMixer, type MixerParts } from './mixer.ts';
import { residualSides } from './residual.ts';
import { layersOf } from './stack.ts';
import type { RoutedSlice, RoutingLog, RoutingLogs } from './routing-log.ts';

/** Embedding and all layers, of a model with an encoder those of one stack; and where in it each MoE layer's stages begin. */
export interface Body {
  readonly program: Program;
  readonly marks: readonly MoeMarks[];
}

export interface BodyOptions {
  readonly taps?: Taps | undefined;
  /** Prompts only: experts come in waves, each set with `ExpertHomes.setWave`. */
  readonly waves?: boolean;
  /** Default: as `Forward.tuning` has it. */
  readonly tileRows?: TileRows;
  /** Where routing goes; default: `Forward.logs`. */
  readonly logs?: RoutingLogs | undefined;
  /** Chunks only: by layer, the pages where keys and values of many sequences are, in place of the one that the caches hold. */
  readonly pages?: readonly KvPages[] | undefined;
  /** Under an adapter; default and null: without. */
  readonly adapter?: string | null | undefined;
}

/** Where the residual stream goes after the embedding and each layer but the last. */
export interface Taps {
  readonly hidden: BufferView; // [L+1, tokens, D]
  /** Most tokens of a step. */
  readonly tokens: number;
}

export interface BodyParts extends MixerParts {
  readonly homes: ExpertHomes;
  /** null where the config has none. */
  readonly sinusoids: BufferView | null; // [context, D]
  /** All MoE layers one after the other, each from its offset on: see kernels/moe/intervention.ts. */
  readonly interventions: BufferView;
  readonly interventionAt: readonly number[];
  readonly isApproximate: boolean;
}

/** What one recording is for. */
export interface BodyStep extends Pick<BodyOptions, 'taps' | 'pages'> {
  readonly batch: Batch;
  /** The most tokens of a step. */
  readonly most: number;
  readonly weights: DeviceWeights;
  readonly log: RoutingLog;
  readonly tileRows: TileRows;
  readonly waves: boolean;
}

/** What dense and MoE layers take alike. */
type FfnOfAnyKind = Pick<
  MoeStep,
  'label' | 'phase' | 'normKind' | 'eps' | 'scale' | 'joinGains' | 'normedStream' | 'x' | 'postNorm' | 'total' | 'out'
>;

class BodyRecording {
  readonly #r: Recorder;
  readonly #parts: BodyParts;
  readonly #step: BodyStep;
  readonly #marks: MoeMarks[] = [];

  constructor(r: Recorder, parts: BodyParts, step: BodyStep) {
    this.#r = r;
    this.#parts = parts;
    this.#step = step;
  }

  async record(): Promise<Body> {
    const { config } = this.#parts;
    const [first, end] = layersOf(config, this.#step.batch);
    this.#skipMoe(0, first);
    this.#embed(first);
    this.#tap(first);
    for (let i = first; i < end; i++) {
      this.#layer(i);
      if (i + 1 < end) this.#tap(i + 1);
    }
    if (end < config.layers.length) this.#passOn(end);
    this.#skipMoe(end, config.layers.length);
    return { program: await this.#r.finish(), marks: this.#marks };
  }

  /** Layers of the other stack have no stages in this program. */
  #skipMoe(begin: number, end: number): void {
    const { config } = this.#parts;
    const at = this.#r.mark();
    const skipped = moeLayers({ ...config, layers: config.layers.slice(begin, end) });
    this.#marks.push(...skipped.map(() => ({ route: at, experts: at, combine: at })));
  }

  /** What an encoder's `end` layers leave becomes keys and values for every layer of the decoder that looks at it. */
  #passOn(end: number): void {
    const { config, activations: a, caches, ropes } = this.#parts;
    const { encoderNorm, layers } = this.#step.weights;
    invariant(encoderNorm, 'an encoder without a norm behind it');
    const { norm: kind, normEps: eps, hidden: size } = config;
    norm(this.#r, 'encoder norm', { x: this.#stream(end), gamma: encoderNorm, out: a.normed }, { kind, size, eps });
    config.layers.forEach(({ mixer }, i) => {
      const { mixer: weights } = layers[i]!;
      const cache = caches[i]!;
      if (mixer.kind !== 'grouped' || mixer.sees !== 'encoded') return;
      invariant(weights.kind === 'grouped' && 'keys' in cache, 'weights of another kind than the config');
      const io = { normed: a.normed, mid: a.mid, q: a.q, rope: ropes[i]!, cache, eps };
      appendEncoded(this.#r, `layer ${i} encoded`, mixer, weights, io);
    });
  }

  #embed(first: number): void {
    const { config, activations, sinusoids } = this.#parts;
    invariant(!sinusoids || !this.#step.pages, 'sinusoids of several sequences in one step');
    const { embed, embedJoin: gains } = this.#step.weights;
    const stream = this.#stream(first);
    const out = gains ? activations.normed : stream;
    for (const { firstRow, matrix } of embed.parts) {
      const io = { ids: activations.ids, weights: matrix, sinusoids, out };
      embedRows(this.#r, 'embed', io, { firstRow, scale: config.embeddingScale });
    }
    if (gains) gainAdd(this.#r, 'embed join', { added: out, x: out, gains, out: stream }, { size: config.hidden });
  }

  #tap(index: number): void {
    const { taps } = this.#step;
    const { hidden } = this.#parts.config;
    if (!taps) return;
    this.#r.copy(`tap hidden ${index}`, ({ tokens }) => ({
      from: this.#stream(index),
      to: subview(taps.hidden, index * taps.tokens * hidden * 4, taps.tokens * hidden * 4),
      bytes: tokens * hidden * 4,
    }));
  }

  #layer(i: number): void {
    const { config, activations: a } = this.#parts;
    const { batch, pages } = this.#step;
    const { ffn } = config.layers[i]!;
    const weights = this.#step.weights.layers[i]!;
    const common = {
      label: `layer ${i}`,
      phase: PHASES[batch],
      normKind: config.norm,
      eps: config.normEps,
      scale: config.residualScale,
      joinGains: config.joinGains ?? false,
      normedStream: config.normedStream ?? false,
    };
    const x = this.#stream(i);
    const out = this.#stream(i + 1);
    const between = ffn.kind === 'none' ? out : this.#between(i);
    const mix = { ...common, x, out: between, postNorm: weights.mixerPostNorm };
    recordMixer(this.#r, this.#parts, i, weights, pages?.[i], mix);
    const step: FfnOfAnyKind = {
      ...common,
      x: between,
      postNorm: weights.ffnPostNorm,
      total: weights.outScale,
      out,
    };
    if (ffn.kind === 'dense') {
      invariant(weights.ffn.kind === 'dense', 'weights of another kind than the config');
      const { activation } = ffn;
      const { gateUpBias: gateUp, downBias: down } = weights.ffn;
      const bias = gateUp && down ? { gateUp, down, pairs: a.mid } : null;
      const of = { activation, weights: weights.ffn, gamma: weights.ffn.norm, normed: a.normed, hidden: a.dense, bias };
      denseLayer(this.#r, { ...step, ...of });
    } else if (ffn.kind === 'moe') {
      invariant(weights.ffn.kind === 'moe', 'weights of another kind than the config');
      this.#marks.push(moeLayer(this.#r, ffn, weights.ffn, { ...step, ...this.#moe(x) }));
    }
  }

  /** Of the next MoE layer. */
  #moe(layerInput: BufferView): Omit<MoeStep, keyof FfnOfAnyKind> {
    const { config, activations: a, homes, isApproximate } = this.#parts;
    const { batch, log, tileRows, most, waves } = this.#step;
    const { view: routed, slices } = log;
    const slice = slices[this.#marks.length]!;
    const next = slices[this.#marks.length + 1]?.offset ?? routed.size;
    return {
      hidden: config.hidden,
      layerInput,
      routerStates: this.#routerStates(),
      routed: subview(routed, slice.offset, next - slice.offset),
      predict: slice.predicted > 0,
      logits: slice.logits > 0,
      reads: batch === 'chunk' && config.encoder ? 'text' : 'tokens',
      interventions: this.#interventionsFrom(slice),
      approximate: isApproximate && batch === 'one',
      tileRows,
      most,
      waveTable: waves ? homes.waveTable : undefined,
      scratch: { ...a, withShared: a.residualC },
    };
  }

  /** Of the next MoE layer: a token's are kept, so that it can start again from any layer; a chunk's takes the place of the one before. */
  #routerStates(): RouterStates | undefined {
    const { config, activations } = this.#parts;
    const stride = routerStateStride(config);
    if (stride === 0) return undefined;
    const m = this.#marks.length;
    if (m === 0 || this.#step.batch !== 'one') return { view: activations.routerStates, ownAt: 0, isFirst: m === 0 };
    return { view: subview(activations.routerStates, (m - 1) * stride, 2 * stride), ownAt: stride / 4, isFirst: false };
  }

  /** What layer i's feed-forward reads. */
  #between(i: number): BufferView {
    const { config, activations } = this.#parts;
    const isKept = this.#step.batch === 'one' && config.layers[i]!.ffn.kind === 'moe';
    return isKept ? this.#mid(this.#marks.length) : residualSides(config, activations, i)[1];
  }

  /** A token's input of every MoE layer is kept, so that the token can start again from any of them. */
  #mid(m: number): BufferView {
    const stride = midStride(this.#parts.config.hidden);
    return subview(this.#parts.activations.mids, m * stride, stride);
  }

  /**
   * The residual stream in front of layer i. Where a router reads it, decoding keeps it for every MoE layer, so that a token can start again behind
   * attention.
   */
  #stream(i: number): BufferView {
    const { config, activations } = this.#parts;
    const { layerInputs } = activations;
    if (this.#step.batch !== 'one' || config.layers[i]?.ffn.kind !== 'moe' || !keepsLayerInputs(config))
      return residualSides(config, activations, i)[0];
    const before = moeLayers({ ...config, layers: config.layers.slice(0, i) }).length;
    const stride = midStride(config.hidden);
    return subview(layerInputs, before * stride, stride);
  }

  /** Of a layer; where it predicts for the next, of both. */
  #interventionsFrom({ layer, predicted }: RoutedSlice): BufferView {
    const { interventions, interventionAt: at } = this.#parts;
    const from = at[layer]!;
    return subview(interventions, from, at[layer + (predicted > 0 ? 2 : 1)]! - from);
  }
}

/** @param r a recorder with nothing in it yet */
export const recordBody = (r: Recorder, parts: BodyParts, step: BodyStep): Promise<Body> =>
  new BodyRecording(r, parts, step).record();
