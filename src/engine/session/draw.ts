/** What a draw obeys, what it gives, and what a request wants to know of its routing. */
import type { SamplingParams } from '../../gpu/step.ts';
import type { RankedToken } from '../../kernels/sample/top_logprobs.ts';
import type { LayerRouting } from '../routing.ts';

/** What one draw obeys. */
export interface DrawParams extends SamplingParams {
  /** [V] added to the logits; null adds nothing. The same array means the same values. */
  readonly bias?: Float32Array<ArrayBuffer> | null;
  /** [ceil(V / 32)] the tokens that may be drawn, bit id % 32 of word id / 32; null: any. The same array means the same tokens. */
  readonly allowed?: Uint32Array<ArrayBuffer> | null;
  /** How many of the likeliest tokens to name, at most MAX_TOP_LOGPROBS. */
  readonly topLogprobs?: number;
}

export interface DrawnToken {
  readonly id: number;
  /** Natural logarithm of its probability under the plain softmax of the logits. */
  readonly logprob: number;
  /** The likeliest tokens, as many as were asked for. */
  readonly topLogprobs: readonly RankedToken[];
  /** Routing of the step that produced it, one entry a MoE layer. */
  readonly routing: readonly LayerRouting[];
}

/** What a request wants to know of its routing. */
export interface RoutingRequest {
  /** With every token. Default true. */
  readonly routing?: boolean;
  /** The routers' logits as well. */
  readonly logits?: boolean;
  /** Called with the routing of each chunk of the prompt, [T, K] a layer, from `position` on: one readback more a chunk. */
  readonly onPrompt?: ((routing: readonly LayerRouting[], position: number, tokens: number) => void) | undefined;
}
