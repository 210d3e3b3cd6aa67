/** What an app sees of a layer. */
import type { Dispatch } from './dispatch.ts';
import type { LayerLosses } from './losses.ts';
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
  /** `buffers.output`: [T, D], until the next run. */
  readonly output: GPUBuffer;
  /** How often each choice was made, before anything is dropped, as DeepSpeed counts; zero experts behind the others. [G] */
  readonly exp_counts: Uint32Array;
  /** Tokens that each got. [G] */
  readonly kept_counts: Uint32Array;
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

/** Calls take their turns: they share the buffers. All may throw DeviceLost. */
export interface MoELayer {
  readonly buffers: MoELayerBuffers;
  /** Overwrites the given weights; others stay. @throws InvalidRequest when an array has the wrong length */
  write(weights: Partial<MoELayerWeights>): Promise<void>;
  /** Added to the keys that choose, never to the weights: [G]; 0 at first. @throws InvalidRequest */
  writeCorrectionBias(e_score_correction_bias: Float32Array<ArrayBuffer>): Promise<void>;
  read(): Promise<MoELayerWeights>;
  /**
   * One run; the output is in `buffers.output` until the next.
   * @param x [T, D], as numbers or in a buffer that can be copied from
   * @throws InvalidRequest for a wrong T or missing token_ids
   */
  forward(x: Float32Array<ArrayBuffer> | GPUBuffer, options?: ForwardOptions): Promise<MoELayerRun>;
  /**
   * Gradients of (d_output . output + aux_loss) of the last run, into `buffers.x_grad`, `router_grad` and `experts_grad`; they replace what was there.
   * @param d_output [T, D]: of whatever comes after by this layer's output
   * @throws InvalidRequest when there was no run, or d_output has another T
   */
  backward(d_output: Float32Array<ArrayBuffer> | GPUBuffer): Promise<void>;
  /** Of the last `backward`. */
  readGradients(): Promise<MoELayerGradients>;
  /** [T, D] of the last run. @throws InvalidRequest when nothing has run */
  readOutput(): Promise<Float32Array<ArrayBuffer>>;
  /** Logits that the scores of the last run came from, noise included: [T, G]. @throws InvalidRequest when nothing has run */
  readLogits(): Promise<Float32Array<ArrayBuffer>>;
  /** Frees what the layer made; the device stays. */
  dispose(): void;
}
