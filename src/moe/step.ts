/** What a Mixture-of-Experts layer is given, and the marks that it leaves. */
import type { NormKind } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { TileRows } from '../kernels/moe/group.ts';
import type { DeviceRouter } from '../kernels/moe/router_block.ts';
import type { RouterStates } from '../kernels/moe/router_state.ts';
import type { Phase } from '../layers/attention.ts';
import type { DeviceParts } from '../layers/parts.ts';
import type { MoeWeights } from '../layers/weights.ts';
import type { DeviceExperts } from './experts.ts';

export interface MoeStep {
  readonly label: string;
  readonly phase: Phase;
  readonly hidden: number; // D
  readonly normKind: NormKind;
  readonly eps: number;
  /** Multiplies what the layer adds to x. */
  readonly scale: number;
  /** What the layer adds goes through this norm first; null: it is added as it is. */
  readonly postNorm: BufferView | null;
  readonly joinGains?: boolean; // see layers/norm.ts
  /** The experts join norm(x) in place of x, with the bias of their sum: see `ModelConfig.normedStream`. Default false. */
  readonly normedStream?: boolean;
  /** Multiplies x and what the layer adds; only with `postNorm`. */
  readonly total: BufferView | null; // [1]
  readonly x: BufferView; // [T, D]
  /** What the whole layer read, attention too. */
  readonly layerInput: BufferView; // [T, D]
  readonly out: BufferView; // [T, D], another buffer
  /** Of a router that carries a state. */
  readonly routerStates?: RouterStates | undefined;
  /** This layer's routing log. */
  readonly routed: BufferView; // [T, 2K]: ids, then weight bits; with `predict`, [T, predictedIds] follow; with `logits`, [T, E]
  /** Also guess what the next MoE layer will choose; its router block must lie behind this layer's. Default false. */
  readonly predict?: boolean;
  /** Obey the step's `ApproximateParams`. Default false: routing is exact. */
  readonly approximate?: boolean;
  /** Also log the router's logits. Default false. */
  readonly logits?: boolean;
  /** What a request changes in the choice: of this layer, with `predict` the next one's behind it. Default: nothing. */
  readonly interventions?: BufferView;
  /** What the step's tokens are: of a text that is read as a whole, or of one that grows. Default: the latter. */
  readonly reads?: 'text' | 'tokens';
  readonly tileRows: TileRows;
  /** The most tokens of a step. */
  readonly most: number;
  /** Prompts only: the slots of one wave of experts, in place of the layer's own table. */
  readonly waveTable?: BufferView | undefined; // [E]
  readonly scratch: {
    readonly normed: BufferView; // [T, D]
    readonly withShared: BufferView; // [T, D]
    /** Only of a router that carries a state. */
    readonly qLatent: BufferView; // [T, R]
    readonly raised: BufferView; // [T, R]
    readonly sharedWeight: BufferView; // [T]
    readonly dense: BufferView; // [T, shared width]; of a double gate with room for its products, as `act`
    readonly pairOfRow: BufferView; // [P]
    readonly rowOfPair: BufferView; // [P]
    readonly tiles: BufferView;
    readonly counts: BufferView; // [E]
    readonly act: BufferView; // [P, F], then [T, shared width]
    readonly y: BufferView; // [P, D], then [T, D]
  };
}

/** Where in a program a layer's stages begin: marks of its recorder. */
export interface MoeMarks {
  /** Everything before this is done when the layer's input is in `x`. */
  readonly route: number;
  /** The routing is known; what reads experts begins. */
  readonly experts: number;
  /** Experts are done. */
  readonly combine: number;
}

/** Weights of a layer on the GPU. */
export type MoeParts = MoeWeights<DeviceParts, BufferView, DeviceExperts, DeviceRouter>;
