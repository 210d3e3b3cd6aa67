import type { BufferView } from '../../gpu/buffer.ts';
import type { Constants, Imports } from '../../gpu/shader.ts';

/** A shader module that makes heads of q, k and v from what projections left: what `heads` stands for in attention_decode. */
export interface HeadsSource {
  readonly module: 'attention/grouped_heads' | 'attention/latent_heads';
  readonly constants: Constants;
  readonly imports?: Imports;
  readonly bindings: Readonly<Record<string, BufferView>>;
  /** Of latents: how each head's result goes up through its value rows, which attention_reduce does where there are splits. */
  readonly raise?: RaisedHeads;
}

/** Constants, imports and bindings of shaders/attention/kv_raise.wgsl. */
export interface RaisedHeads {
  /** Values of a head that come out. */
  readonly valueSize: number;
  /** Of them, how many one pass makes. */
  readonly passRows: number;
  readonly constants: Constants;
  readonly imports: Imports;
  readonly bindings: Readonly<Record<string, BufferView>>;
}

/** Default limit of WebGPU. */
const STORAGE_BUFFERS = 8;

/** Whether attention_decode can make its heads itself: the caches (of latents one), out, and where there are any partials and sinks, are bound as well. */
export const canMakeHeads = (
  { bindings, raise }: HeadsSource,
  { splits, sinks }: { splits: number; sinks: boolean },
): boolean => (raise ? 2 : 3) + Number(splits > 1) + Number(sinks) + Object.keys(bindings).length <= STORAGE_BUFFERS;
