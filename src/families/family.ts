/** What a family file says: how its config.json reads, and what its tensors are called. */
import type { ConfigReader } from '../config/read.ts';
import type { ModelConfig } from '../config/model-config.ts';

export interface Family {
  readonly id: string;
  /** `model_type` values that this file claims. */
  readonly modelTypes: readonly string[];
  /** `architectures` values, for configs whose model_type is missing. */
  readonly architectures: readonly string[];
  /** `model_type` values of other families that files of this one carry too: `architectures` tells them apart. */
  readonly borrowedTypes?: readonly string[];
  /** `model_type` values of models for several media whose `text_config` this file claims. */
  readonly around?: readonly string[];
  /** Reads every key, or declares it irrelevant, or throws: see config/read.ts. */
  readConfig(config: ConfigReader): ModelConfig;
  names(config: ModelConfig): TensorNames;
}

/** Some rows of a stored matrix that holds several: q, k and v in one, or gate and up. */
export interface RowsOf {
  readonly of: string;
  readonly first: number;
  readonly rows: number;
  /** Of the stored matrix. */
  readonly total: number;
}

export type MatrixName = string | RowsOf;

/** Names of matrices that lie one below the other in the matrix `of`, with so many rows each. */
export function stackedRows<const N extends readonly number[]>(of: string, rows: N): { [I in keyof N]: RowsOf } {
  const total = rows.reduce((a, b) => a + b, 0);
  let first = 0;
  return rows.map((count): RowsOf => {
    const name = { of, first, rows: count, total };
    first += count;
    return name;
  }) as { [I in keyof N]: RowsOf };
}

/**
 * Names without a suffix such as `.weight`: a weight format appends its own. `vector` names carry their full tensor name, because they are
 * stored plainly in every format.
 */
export interface TensorNames {
  readonly embed: string;
  readonly finalNorm: string;
  /** Of what an encoder's layers leave; only with one. */
  readonly encoderNorm?: string;
  /** Full tensor name, [1, D]; only with `tokenType`. */
  readonly tokenType?: string;
  /** Of the embedding; only with `joinGains`. */
  readonly embedJoin?: JoinNames;
  /** null when tied to `embed`. */
  readonly head: string | null;
  layer(index: number): LayerNames;
  /** Tensors that a checkpoint may carry and that nothing here reads: multi-token-prediction heads, rotary caches. */
  ignored(tensor: string): boolean;
  /** Tensors of the layers that the config counts: one of them that nothing reads would change what is computed. */
  ofLayer(tensor: string): boolean;
}

export interface LayerNames {
  /** Full tensor names, ending in `weight`; with biases, those end in `bias` instead. Only with `preNorms`. */
  readonly mixerNorm?: string;
  /** Also only with a feed-forward. */
  readonly ffnNorm?: string;
  /** Of what joins the residual stream; only with `postNorms`. */
  readonly mixerPostNorm?: string;
  readonly ffnPostNorm?: string;
  /** Only with `joinGains`. */
  readonly mixerJoin?: JoinNames;
  readonly ffnJoin?: JoinNames;
  /** Full tensor name, [1]; only with `outScale`. */
  readonly outScale?: string;
  readonly mixer: GroupedAttentionNames | LatentAttentionNames | RecurrentNames;
  readonly ffn: DenseFfnNames | MoeFfnNames | { readonly kind: 'none' };
}

export interface GroupedAttentionNames {
  readonly kind: 'grouped';
  /** All three as rows of one matrix, or none. Only with an output gate or a filter, q may lie in several stretches, one below the other. */
  readonly q: MatrixName | readonly MatrixName[];
  /** Only with a filter in several stretches. */
  readonly k: MatrixName | readonly MatrixName[];
  readonly v: MatrixName;
  readonly o: string;
  /** Full tensor names, null when the config has none. */
  readonly qNorm: string | null;
  readonly kNorm: string | null;
  readonly sinks: string | null;
  /** Only with `filter`: two convolutions, `{name}.weight` [rows, cols, 2, 1] and `{name}.bias`, and the full name of a norm's gains. */
  readonly filter?: { readonly first: string; readonly second: string; readonly norm: string };
  /** Only with `convolved`, where `v` is the first half of the rows of v. */
  readonly convolution?: ConvolutionNames;
  /** Only with `outputGate`; in one piece or in stretches, as q. */
  readonly gate?: MatrixName | readonly MatrixName[];
  /** Only with `distanceBias`: full tensor name, [buckets, H]. */
  readonly distanceBias?: string;
  /** Only with `mixture`, where `q` and `out` are full names of rank 3 tensors, [E, Hk A, D] and [E, D, Hk A]. */
  readonly mixture?: { readonly router: string; readonly out: string };
}

export interface ConvolutionNames {
  /** `{name}.weight` [C, 1, 2] and `{name}.bias` [C], C the channels of q and k. */
  readonly channels: string;
  /** `{name}.weight` [C, A, 2] and `{name}.bias` [C]. */
  readonly heads: string;
  /** Full tensor name, [Hk]. */
  readonly lengths: string;
  /** The second half of the rows of v. */
  readonly delayed: string;
}

/** Full tensor names, [D] each, of what is added and, but for the embedding, of the stream. */
export interface JoinNames {
  readonly gain: string;
  readonly bias: string;
  readonly stream?: { readonly gain: string; readonly bias: string };
}

export interface LatentAttentionNames {
  readonly kind: 'latent';
  /** q directly, or through a low-rank latent with a norm in between. */
  readonly q: { readonly direct: string } | { readonly down: string; readonly norm: string; readonly up: string };
  /** Rows: the latent, then the shared rope key. */
  readonly kvDown: string;
  readonly kvNorm: string;
  /** Rows: per head, nope key rows then value rows. */
  readonly kvUp: string;
  readonly o: string;
}

export type RecurrentNames = ShortConvolutionNames | Mamba1Names | Mamba2Names | DeltaNetNames;

export interface ShortConvolutionNames {
  readonly kind: 'short-conv';
  /** Rows: B, C, x. */
  readonly inProj: string;
  /** Full tensor name, [D, 1, taps]. */
  readonly conv: string;
  readonly outProj: string;
}

/** What both Mambas have; full tensor names, but for the two projections. */
interface MambaNames {
  readonly inProj: string;
  /** [channels, 1, taps] */
  readonly conv: string;
  /** null when the config has none. */
  readonly convBias: string | null;
  /** log(-A): [channels, N], or [heads]. */
  readonly aLog: string;
  /** D: [channels], or [heads]. */
  readonly skip: string;
  readonly outProj: string;
}

export interface Mamba1Names extends MambaNames {
  readonly kind: 'mamba-1';
  /** Rows: the steps' low rank, B, C. */
  readonly selectProj: string;
  /** Low rank to channels, with a bias. */
  readonly stepProj: string;
  readonly stepNorm: string;
  readonly bNorm: string;
  readonly cNorm: string;
}

export interface Mamba2Names extends MambaNames {
  readonly kind: 'mamba-2';
  /** As GGUF files have them: `conv` [channels, taps], `norm` [groups, channels / groups], and under `aLog` A itself. Default false. */
  readonly ggml?: boolean;
  readonly stepBias: string; // [heads]
  readonly norm: string; // [channels]
}

export interface DeltaNetNames {
  readonly kind: 'delta-net';
  /** Stretches of rows, one below the other: all of q, k, v, z, b, a. */
  readonly inProj: readonly RowsOf[];
  /** [channels, 1, taps] of q, k, v. */
  readonly conv: string;
  readonly aLog: string; // [heads]
  readonly stepBias: string; // [heads]
  readonly norm: string; // [value size]
  readonly outProj: string;
}

/** Where there is no gate, up is halved: `gate` is the first half of its rows, `up` the second. Of a double gate `gate` has 2F rows: first, then gate. */
export interface GluNames<Name extends MatrixName = string> {
  readonly gate: Name;
  readonly up: Name;
  readonly down: string;
}

export interface DenseFfnNames extends GluNames<MatrixName> {
  readonly kind: 'dense';
}

/** What a matrix that no format quantises is stored as: a parameter that is no module's `weight` is called `_weight`. */
export const plainName = (name: string): string => (name.endsWith('_weight') ? name : `${name}.weight`);

export interface MoeFfnNames {
  readonly kind: 'moe';
  readonly router: string;
  /** Only where experts attend to each other: `router` is q, these are k and v. */
  readonly routerAttends?: readonly [k: string, v: string];
  /** Only with `inner`: W2, where `router` is W1. */
  readonly routerSecond?: string;
  /** Only where the router carries a state: `router` then maps what these give. */
  readonly routerState?: RouterStateNames;
  /** Full tensor names. */
  readonly routerBias: string | null;
  readonly selectionBias: string | null;
  /** In order of preference: the first whose tensors the checkpoint has is used. */
  readonly experts: readonly ExpertStorage[];
  readonly shared: GluNames<MatrixName> | null;
  /** [1, D]; null when the shared expert is not gated. */
  readonly sharedGate: string | null;
  /** Full tensor names, [D] and [E]; only where the router has them. */
  readonly routerGains?: string;
  readonly expertScale?: string;
  /** Full tensor name, [D]; only with `sumBias`. */
  readonly sumBias?: string;
  /** Only with `latent`. */
  readonly latent?: { readonly down: string; readonly up: string };
  /** Only with `parallel`. */
  readonly parallel?: ParallelNames;
}

/** Maps with biases, and full tensor names [R]. */
export interface RouterStateNames {
  readonly down: string;
  /** Of the state of the MoE layer before; null in the first. */
  readonly before: string | null;
  readonly norm: string;
  readonly first: string;
  readonly second: string;
}

/** The dense FFN beside the experts. Norms are full tensor names. */
export interface ParallelNames extends GluNames<MatrixName> {
  /** Of what it reads. */
  readonly norm: string;
  /** Of what it gives, and of what the experts give; only with `postNorms`. */
  readonly postNorm?: string;
  readonly expertsPostNorm?: string;
}

export type ExpertStorage =
  /** One matrix per expert and projection. */
  | { readonly kind: 'separate'; expert(e: number): GluNames<MatrixName> }
  /** One matrix a projection with all experts' rows: gate and up [E F, D], and down transposed [E F, D]. Full tensor names; without gates both are up's. */
  | { readonly kind: 'flat'; readonly gate: string; readonly up: string; readonly down: string }
  /** Of a double gate, all experts in tensors of rank 3: [E, D, 2F], [E, D, F], [E, F, D]. Full tensor names. */
  | { readonly kind: 'double'; readonly gate: string; readonly up: string; readonly down: string }
  /** All experts in one tensor of rank 3. */
  | {
      readonly kind: 'fused';
      /** `${name}` itself, or with a format's suffix such as `_blocks`. */
      readonly gateUp: string;
      readonly down: string;
      /** One bias that the sum of the chosen gets, [D]. Only where their weights sum to one: then each expert may have it. */
      readonly sumBias?: string;
      readonly gateUpBias: string | null;
      readonly downBias: string | null;
      /** `out-in`: [E, 2F, D] and [E, D, F]. `in-out`: [E, D, 2F] and [E, F, D] (the plain tensors; MXFP4 blocks are always out-in). */
      readonly orientation: 'out-in' | 'in-out';
      /** Which of the 2F is gate: the first half, or the even ones. */
      readonly gateRows: 'first-half' | 'even';
    };
