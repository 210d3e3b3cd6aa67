/** The layer behind `MoELayer`: its buffers, its two programs, and the run that they were used for last. */
import { choicesOf, type LayerStep } from '../config/moe-layer.ts';
import { InvalidRequest } from '../errors.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { Program } from '../gpu/recording.ts';
import { STEP_BYTES, writeStep } from '../gpu/step.ts';
import { layerStepWords } from '../kernels/layer/step.ts';
import { sizesOf } from '../kernels/layer/views.ts';
import { firstWords, type LayerBuffers } from './buffers.ts';
import { lossesOf, LOSS_NAMES, lossGradWords } from './losses.ts';
import type { ForwardOptions, MoELayer, MoELayerBuffers, MoELayerGradients, MoELayerRun } from './moe-layer.ts';
import type { LayerPlan } from './options.ts';
import { readRun, type LastRun } from './read-run.ts';
import { stepOf } from './step.ts';
import { checkWeights, packExperts, ROUTER_PARTS, splitRouter, unpackExperts, weightLengths } from './weights.ts';
import type { MoELayerWeights } from './weights.ts';

export class GpuLayer implements MoELayer {
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

  async write(weights: Partial<MoELayerWeights>): Promise<void> {
    const { shape } = this.#plan;
    checkWeights(weights, shape);
    return this.#inTurn(async () => {
      const { arena, router } = this.#own.views;
      let at = 0;
      for (const name of ROUTER_PARTS) {
        const values = weights[name];
        if (values?.length) this.#gpu.write(router, values, 4 * at);
        at += weightLengths(shape)[name];
      }
      const { gate_proj, up_proj, down_proj } = weights;
      if (!gate_proj && !up_proj && !down_proj) return;
      const isWhole = gate_proj && up_proj && down_proj;
      const words = isWhole ? new Float32Array(arena.size / 4) : new Float32Array(await this.#gpu.read(arena));
      packExperts(words, weights, shape, this.#own.slot);
      this.#gpu.write(arena, words);
    });
  }

  async writeCorrectionBias(e_score_correction_bias: Float32Array<ArrayBuffer>): Promise<void> {
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

  async forward(x: Float32Array<ArrayBuffer> | GPUBuffer, options: ForwardOptions = {}): Promise<MoELayerRun> {
    const step = stepOf(x, options, this.#plan, this.#nextStep);
    if (step.training) this.#nextStep = step.step + 1;
    return this.#inTurn(async () => {
      const { views } = this.#own;
      this.#last = null;
      this.#put(x, views.x, step.tokens * this.#plan.shape.hidden);
      if (options.token_ids) this.#gpu.write(views.tokenIds, options.token_ids);
      this.#submit(this.#forward, step);
      const last = await readRun(this.#gpu, this.#own.views, this.#plan.shape, step);
      this.#last = last;
      return this.#report(last);
    });
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

  #report({ step, dispatch, sums }: LastRun): MoELayerRun {
    const losses = lossesOf(sums, dispatch, this.#plan, step);
    return {
      dispatch,
      output: this.buffers.output,
      exp_counts: Uint32Array.from(dispatch.demand(0, step.tokens)),
      kept_counts: dispatch.counts,
      capacity: step.capacity,
      losses,
      aux_loss: LOSS_NAMES.reduce((sum, name) => sum + this.#plan.coef[name] * losses[name], 0),
      step: step.step,
    };
  }

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

  readGradients(): Promise<MoELayerGradients> {
    return this.#inTurn(async () => {
      const { dx, drouter, dexperts } = this.#own.views;
      const x = new Float32Array(await this.#gpu.read(firstWords(dx, this.#lastWords())));
      return { x, ...(await this.#readWeights(drouter, dexperts)) };
    });
  }

  readOutput(): Promise<Float32Array<ArrayBuffer>> {
    return this.#inTurn(
      async () => new Float32Array(await this.#gpu.read(firstWords(this.#own.views.out, this.#lastWords()))),
    );
  }

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

  dispose(): void {
    this.#gpu.dispose();
  }
}
