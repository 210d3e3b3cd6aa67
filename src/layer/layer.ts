/** A Mixture-of-Experts layer by itself, on anybody's WebGPU device. */
import { choicesOf, pairsOf, type LayerShape, type LayerStep } from '../config/moe-layer.ts';
import { InvalidRequest } from '../errors.ts';
import type { BufferView } from '../gpu/buffer.ts';
import { Gpu } from '../gpu/gpu.ts';
import { Recorder, type Program } from '../gpu/recording.ts';
import { STEP_BYTES, writeStep } from '../gpu/step.ts';
import { backward } from '../kernels/layer/backward.ts';
import { choose, columnSums, gate } from '../kernels/layer/gate.ts';
import { merge } from '../kernels/layer/merge.ts';
import { place, weigh } from '../kernels/layer/place.ts';
import { layerShaders } from '../kernels/layer/shaders.ts';
import { layerStepWords } from '../kernels/layer/step.ts';
import { sizesOf } from '../kernels/layer/views.ts';
import { expertDown } from '../kernels/moe/expert_down.ts';
import { expertUp } from '../kernels/moe/expert_up.ts';
import { group } from '../kernels/moe/group.ts';
import { MISSING_SLOT } from '../moe/slots.ts';
import { firstWords, layerBuffers, TILE_ROWS, type LayerBuffers } from './buffers.ts';
import { capacityOf } from './capacity.ts';
import { Dispatch } from './dispatch.ts';
import { lossesOf, LOSS_NAMES, lossGradWords, type LayerLosses, type RouterSums } from './losses.ts';
import { planLayer, type LayerPlan, type MoELayerOptions } from './options.ts';
import { checkWeights, firstWeights, packExperts, ROUTER_PARTS, splitRouter, unpackExperts } from './weights.ts';
import type { MoELayerWeights } from './weights.ts';

export interface ForwardOptions {
  /** T; needed where x is a buffer. */
  readonly tokens?: number;
  /** Noise, sampling and lots, and `capacity_factor` in place of `eval_capacity_factor`. Default false. */
  readonly training?: boolean;
  /** Number of the step: what is drawn depends on it and on the seed alone. Default: one more than in the last training step. */
  readonly step?: number;
  /** Of each token, for the router `hash`. */
  readonly token_ids?: Uint32Array<ArrayBuffer>;
  /** Tokens of one sequence; the last may be shorter. Default: all are one. */
  readonly sequence_length?: number;
}

export interface MoELayerRun {
  readonly dispatch: Dispatch;
  /** Tokens that each expert got, zero experts behind the others. */
  readonly exp_counts: Uint32Array;
  /** Most tokens of an expert; Infinity where nobody is dropped. */
  readonly capacity: number;
  readonly losses: LayerLosses;
  /** Sum of the losses by their `loss_coef`. */
  readonly aux_loss: number;
  readonly step: number;
}

/** A gradient for each weight, and for x. */
export type MoELayerGradients = MoELayerWeights & { readonly x: Float32Array<ArrayBuffer> };

/** Buffers that an app may bind or copy from; they keep their places. Sizes are for `max_tokens`. */
export interface MoELayerBuffers {
  readonly output: GPUBuffer; // [T, D] f32
  readonly x_grad: GPUBuffer; // [T, D] f32
  /** Rows of scores, of noise, of coefficients. */
  readonly router: GPUBuffer; // [M, D] f32
  readonly router_grad: GPUBuffer; // [M, D] f32
  /** Experts one after the other, gate and up rows interleaved, rows padded to 32 columns. */
  readonly experts: GPUBuffer;
  readonly experts_grad: GPUBuffer; // as `experts`
}

interface LastRun {
  readonly step: LayerStep;
  readonly sums: RouterSums;
  readonly dispatch: Dispatch;
}

/**
 * Opens a layer on `device`, which stays the caller's. Weights are drawn from the seed until `write` gives others.
 * @throws InvalidRequest for options that do not go together, OutOfBudget when the device has no room, DeviceLost
 */
export const createMoELayer = (device: GPUDevice, options: MoELayerOptions): Promise<MoELayer> =>
  layerOn(Gpu.around(device, layerShaders), options);

/** The same with a Gpu that knows the layer's shaders. */
export async function layerOn(gpu: Gpu, options: MoELayerOptions): Promise<MoELayer> {
  const plan = planLayer(options);
  try {
    const buffers = await layerBuffers(gpu, plan.shape, plan.maxTokens);
    const { X } = sizesOf(plan.shape);
    gpu.write(
      buffers.slotTable,
      Uint32Array.from({ length: X + 2 }, (_, e) => (e < X ? e : MISSING_SLOT)),
    );
    const [run, back] = await Promise.all([
      record(gpu, buffers, (recorder) => recordForward(recorder, buffers, plan.shape)),
      record(gpu, buffers, (recorder) => backward(recorder, buffers.views, plan.shape, buffers.slot)),
    ]);
    const layer = new MoELayer(gpu, plan, buffers, run, back);
    await layer.write(firstWeights(plan.shape, plan.seed));
    return layer;
  } catch (error) {
    throw await gpu.explain(error);
  }
}

function record(gpu: Gpu, { step }: LayerBuffers, steps: (recorder: Recorder) => void): Promise<Program> {
  const recorder = new Recorder(gpu, step);
  steps(recorder);
  return recorder.finish();
}

function recordForward(recorder: Recorder, { views, slotTable, tiles, slot }: LayerBuffers, shape: LayerShape): void {
  const { X, ALL } = sizesOf(shape);
  const { routed, pairOfRow, rowOfPair, counts, arena, x, act, y } = views;
  const experts = { experts: X + 2, topK: ALL, slot, tileRows: TILE_ROWS };
  gate(recorder, views, shape);
  choose(recorder, views, shape);
  place(recorder, views, shape);
  weigh(recorder, views, shape);
  columnSums(recorder, views, shape);
  group(recorder, 'group', { routed, pairOfRow, rowOfPair, tiles, counts }, experts);
  const activation = { kind: shape.activation };
  expertUp(recorder, 'expert up', { arena, slotTable, x, pairOfRow, tiles, act }, { ...experts, activation });
  expertDown(recorder, 'expert down', { arena, slotTable, act, tiles, y }, experts);
  merge(recorder, views, shape);
}

export class MoELayer {
  /** f32, [max_tokens, D] and so on. */
  readonly buffers: MoELayerBuffers;
  readonly #gpu: Gpu;
  readonly #plan: LayerPlan;
  readonly #own: LayerBuffers;
  readonly #forward: Program;
  readonly #backward: Program;
  #last: LastRun | null = null;
  #nextStep = 0;
  /** Calls take their turns: they share the buffers. */
  #turn: Promise<unknown> = Promise.resolve();

  /** @internal */
  constructor(gpu: Gpu, plan: LayerPlan, own: LayerBuffers, forward: Program, back: Program) {
    this.#gpu = gpu;
    this.#plan = plan;
    this.#own = own;
    this.#forward = forward;
    this.#backward = back;
    const { out, dx, router, drouter, arena, dexperts } = own.views;
    this.buffers = {
      output: out.buffer,
      x_grad: dx.buffer,
      router: router.buffer,
      router_grad: drouter.buffer,
      experts: arena.buffer,
      experts_grad: dexperts.buffer,
    };
  }

  /** Overwrites the given weights; others stay. @throws InvalidRequest when an array has the wrong length */
  write(weights: Partial<MoELayerWeights>): Promise<void> {
    const { shape } = this.#plan;
    checkWeights(weights, shape);
    return this.#inTurn(async () => {
      const { arena, router } = this.#own.views;
      let at = 0;
      for (const name of ROUTER_PARTS) {
        const values = weights[name];
        if (values?.length) this.#gpu.write(router, values, 4 * at);
        at += this.#lengthOf(name);
      }
      const { gate_proj, up_proj, down_proj } = weights;
      if (!gate_proj && !up_proj && !down_proj) return;
      const isWhole = gate_proj && up_proj && down_proj;
      const words = isWhole ? new Float32Array(arena.size / 4) : new Float32Array(await this.#gpu.read(arena));
      packExperts(words, weights, shape, this.#own.slot);
      this.#gpu.write(arena, words);
    });
  }

  #lengthOf(name: (typeof ROUTER_PARTS)[number]): number {
    const { shape } = this.#plan;
    const choices = choicesOf(shape) * shape.hidden;
    if (name === 'coefficient') return shape.residual ? 2 * shape.hidden : 0;
    return name === 'router' || shape.noise === 'noisy-top-k' ? choices : 0;
  }

  /** Added to the keys that choose, never to the weights: [G]; 0 at first. @throws InvalidRequest */
  writeCorrectionBias(e_score_correction_bias: Float32Array<ArrayBuffer>): Promise<void> {
    const { bias } = this.#own.views;
    const wanted = choicesOf(this.#plan.shape);
    if (e_score_correction_bias.length !== wanted)
      throw new InvalidRequest(`MoE layer: ${e_score_correction_bias.length} biases in place of ${wanted}`, { wanted });
    return this.#inTurn(async () => this.#gpu.write(bias, e_score_correction_bias));
  }

  read(): Promise<MoELayerWeights> {
    const { router, arena } = this.#own.views;
    return this.#inTurn(() => this.#readWeights(router, arena));
  }

  async #readWeights(router: BufferView, experts: BufferView): Promise<MoELayerWeights> {
    const { shape } = this.#plan;
    const words = new Float32Array(await this.#gpu.readAll([router, experts]));
    const split = router.size / 4;
    return {
      ...splitRouter(words.slice(0, split), shape),
      ...unpackExperts(words.subarray(split), shape, this.#own.slot),
    };
  }

  /**
   * One run; the output is in `buffers.output` until the next.
   * @param x [T, D], as numbers or in a buffer that can be copied from
   * @throws InvalidRequest for a wrong T or missing token_ids; DeviceLost
   */
  forward(x: Float32Array<ArrayBuffer> | GPUBuffer, options: ForwardOptions = {}): Promise<MoELayerRun> {
    const step = this.#stepOf(x, options);
    return this.#inTurn(async () => {
      const { views } = this.#own;
      this.#last = null;
      this.#put(x, views.x, step.tokens * this.#plan.shape.hidden);
      if (options.token_ids) this.#gpu.write(views.tokenIds, options.token_ids);
      this.#submit(this.#forward, step);
      const last = await this.#readRun(step);
      this.#last = last;
      return this.#report(last);
    });
  }

  #stepOf(x: Float32Array | GPUBuffer, options: ForwardOptions): LayerStep {
    const { shape, maxTokens, capacity, seed } = this.#plan;
    const { training = false, token_ids } = options;
    const tokens = options.tokens ?? (x instanceof Float32Array ? x.length / shape.hidden : 0);
    if (!Number.isInteger(tokens) || tokens < 1 || tokens > maxTokens)
      throw new InvalidRequest(`MoE layer: ${tokens} tokens; give 1 to max_tokens ${maxTokens}`, { tokens, maxTokens });
    if (x instanceof Float32Array ? x.length !== tokens * shape.hidden : x.size < 4 * tokens * shape.hidden)
      throw new InvalidRequest(`MoE layer: x does not hold ${tokens} tokens of ${shape.hidden} values`, { tokens });
    if (shape.chooses === 'hash' && token_ids?.length !== tokens)
      throw new InvalidRequest('MoE layer: the router hash needs token_ids, one a token', { tokens });
    const sequence = options.sequence_length ?? tokens;
    if (!Number.isInteger(sequence) || sequence < 1)
      throw new InvalidRequest(`MoE layer: sequence_length ${sequence} must be a whole number above 0`, { sequence });
    const number = options.step ?? this.#nextStep;
    if (training) this.#nextStep = number + 1;
    const factor = training ? capacity?.train : capacity?.eval;
    return {
      tokens,
      training,
      capacity: capacity && factor ? capacityOf(tokens, shape.experts, { ...capacity, factor }) : Infinity,
      seed,
      step: number,
      sequence,
    };
  }

  #put(values: Float32Array<ArrayBuffer> | GPUBuffer, to: BufferView, words: number): void {
    if (values instanceof Float32Array) return this.#gpu.write(to, values);
    const encoder = this.#gpu.device.createCommandEncoder();
    encoder.copyBufferToBuffer(values, 0, to.buffer, to.offset, 4 * words);
    this.#gpu.submit(encoder.finish());
  }

  #submit(program: Program, step: LayerStep): void {
    const { tokens } = step;
    this.#gpu.write(this.#own.views.gate, layerStepWords(step));
    this.#gpu.write(this.#own.step, new Uint8Array(writeStep(new ArrayBuffer(STEP_BYTES), tokens, 0)));
    const encoder = this.#gpu.device.createCommandEncoder();
    program.encode(encoder, { tokens, position: 0 });
    this.#gpu.submit(encoder.finish());
  }

  async #readRun(step: LayerStep): Promise<LastRun> {
    const { shape } = this.#plan;
    const { G, PLANES } = sizesOf(shape);
    const { chosen, kept, weights, rowOfPair, counts, sums, facts } = this.#own.views;
    const sequences = Math.ceil(step.tokens / step.sequence);
    const pairs = step.tokens * shape.topK;
    const columns = (PLANES - 2) * G;
    const lengths = [pairs, pairs, pairs, step.tokens * pairsOf(shape), counts.size / 4];
    lengths.push(sequences * columns, step.tokens * 3);
    const views = [chosen, kept, weights, rowOfPair, counts, sums, facts].map((v, i) => firstWords(v, lengths[i]!));
    const words = new Uint32Array(await this.#gpu.readAll(views));
    let at = 0;
    const [ids, keeps, weightBits, rows, rowCounts, sumBits, factBits] = lengths.map((n) =>
      words.slice(at, (at += n)),
    ) as [Uint32Array<ArrayBuffer>, ...Uint32Array<ArrayBuffer>[]];
    const dispatch = new Dispatch(
      { chosen: ids, kept: keeps!, weights: floats(weightBits!), rowOfPair: rows!, counts: rowCounts! },
      shape,
    );
    return {
      step,
      dispatch,
      sums: routerSums(floats(sumBits!), floats(factBits!), G, { columns, hasLoad: PLANES === 4 && step.training }),
    };
  }

  #report({ step, dispatch, sums }: LastRun): MoELayerRun {
    const losses = lossesOf(sums, dispatch, this.#plan, step);
    return {
      dispatch,
      exp_counts: dispatch.counts,
      capacity: step.capacity,
      losses,
      aux_loss: LOSS_NAMES.reduce((sum, name) => sum + this.#plan.coef[name] * losses[name], 0),
      step: step.step,
    };
  }

  /**
   * Gradients of (d_output . output + aux_loss) of the last run, into `buffers.x_grad`, `router_grad` and `experts_grad`; they replace what was there.
   * @param d_output [T, D]: of whatever comes after by this layer's output
   * @throws InvalidRequest when there was no run, or d_output has another T; DeviceLost
   */
  backward(d_output: Float32Array<ArrayBuffer> | GPUBuffer): Promise<void> {
    return this.#inTurn(async () => {
      const last = this.#last;
      if (!last) throw new InvalidRequest('MoE layer: backward needs a forward pass first', {});
      const words = last.step.tokens * this.#plan.shape.hidden;
      if (d_output instanceof Float32Array ? d_output.length !== words : d_output.size < 4 * words)
        throw new InvalidRequest(`MoE layer: d_output does not hold ${last.step.tokens} tokens`, { words });
      const { dout, lossGrads } = this.#own.views;
      this.#put(d_output, dout, words);
      this.#gpu.write(lossGrads, lossGradWords(last.sums, last.dispatch, this.#plan, last.step));
      this.#submit(this.#backward, last.step);
    });
  }

  /** Of the last `backward`. */
  readGradients(): Promise<MoELayerGradients> {
    return this.#inTurn(async () => {
      const { dx, drouter, dexperts } = this.#own.views;
      const x = new Float32Array(await this.#gpu.read(firstWords(dx, this.#lastWords())));
      return { x, ...(await this.#readWeights(drouter, dexperts)) };
    });
  }

  /** [T, D] of the last run. */
  readOutput(): Promise<Float32Array<ArrayBuffer>> {
    return this.#inTurn(
      async () => new Float32Array(await this.#gpu.read(firstWords(this.#own.views.out, this.#lastWords()))),
    );
  }

  /** Logits that the scores of the last run came from, noise included: [T, G]. */
  readLogits(): Promise<Float32Array<ArrayBuffer>> {
    return this.#inTurn(async () => {
      const { G, PLANES } = sizesOf(this.#plan.shape);
      const tokens = this.#lastWords() / this.#plan.shape.hidden;
      const gates = new Float32Array(await this.#gpu.read(firstWords(this.#own.views.gates, tokens * PLANES * G)));
      return Float32Array.from({ length: tokens * G }, (_, i) => gates[Math.floor(i / G) * PLANES * G + (i % G)]!);
    });
  }

  #lastWords(): number {
    if (!this.#last) throw new InvalidRequest('MoE layer: nothing has run', {});
    return this.#last.step.tokens * this.#plan.shape.hidden;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#turn.then(work).catch(async (error: unknown) => {
      throw await this.#gpu.explain(error);
    });
    this.#turn = next.catch(() => undefined);
    return next;
  }

  /** Frees what the layer made; the device stays. */
  dispose(): void {
    this.#gpu.dispose();
  }
}

const floats = (words: Uint32Array<ArrayBuffer>): Float32Array<ArrayBuffer> => new Float32Array(words.buffer);

/** @param columns of a sequence in `sums`: shares, then maybe loads */
function routerSums(
  sums: Float32Array,
  facts: Float32Array,
  choices: number,
  { columns, hasLoad }: { readonly columns: number; readonly hasLoad: boolean },
): RouterSums {
  const rows = Array.from({ length: sums.length / columns }, (_, s) => sums.subarray(s * columns, (s + 1) * columns));
  const fact = (at: number): Float64Array =>
    Float64Array.from({ length: facts.length / 3 }, (_, t) => facts[3 * t + at]!);
  const loadOf = (e: number): number => rows.reduce((sum, row) => sum + row[choices + e]!, 0);
  return {
    shares: rows.map((row) => Float64Array.from(row.subarray(0, choices))),
    load: hasLoad ? Float64Array.from({ length: choices }, (_, e) => loadOf(e)) : null,
    logSumExp: fact(0),
    entropy: fact(1),
  };
}
