/** The routing of all MoE layers, as a step leaves it on the GPU: where each layer's part begins, and what is in it. */
import type { ModelConfig } from '../../config/model-config.ts';
import { subview, wholeBuffer, type BufferView } from '../../gpu/buffer.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import { predictedIds } from '../../kernels/moe/route.ts';
import { moeLayers, routedStride } from '../activations.ts';
import type { DeviceWeights } from '../upload.ts';
import type { Batch } from './batch.ts';
import { moeLayersOf } from './stack.ts';

/** Where one MoE layer's routing lies in a routing log. */
export interface RoutedSlice {
  readonly layer: number;
  /** 0: a layer of the stack that such steps do not run. */
  readonly topK: number;
  readonly offset: number;
  /** Ids behind the K weights: what the next MoE layer will likely choose, best first. 0 where nothing is predicted. */
  readonly predicted: number;
  /** Logits behind them, E or 0. */
  readonly logits: number;
}

/** Routing of all MoE layers, as one kind of batch leaves it. */
export interface RoutingLog {
  readonly view: BufferView;
  readonly slices: readonly RoutedSlice[];
}

export type RoutingLogs = Readonly<Record<Batch, RoutingLog>>;

/** By MoE layer, how many experts of the next one it can predict: none where the next router is not like its own, or reads a state of its own. */
export function predictable(config: ModelConfig, { layers }: DeviceWeights): number[] {
  const moes = moeLayers(config);
  const routers = layers.flatMap(({ ffn }) => (ffn.kind === 'moe' ? [ffn.router] : []));
  return moes.map(({ topK, experts, router }, m) => {
    const next = moes[m + 1];
    const isAlike =
      router.state === undefined && next?.topK === topK && JSON.stringify(next.router) === JSON.stringify(router);
    return isAlike && routers[m]!.withNext ? predictedIds(topK, experts) : 0;
  });
}

interface LogContents {
  readonly batch: Batch;
  readonly logits: boolean;
}

export interface LogSizes {
  readonly config: ModelConfig;
  /** The most tokens of a step. */
  readonly most: (batch: Batch) => number;
  /** By MoE layer, ids that a step of one token predicts. */
  readonly predicted: readonly number[];
}

/** @param make the buffer, given its size */
function routingLog(
  { config, most, predicted: ids }: LogSizes,
  { batch, logits }: LogContents,
  make: (bytes: number) => BufferView,
): RoutingLog {
  const isOne = batch === 'one';
  const tokens = most(batch);
  let offset = 0;
  const [first, end] = moeLayersOf(config, batch);
  const slices = moeLayers(config).map((ffn, layer): RoutedSlice => {
    const { topK, experts } = ffn;
    const runs = layer >= first && layer < end;
    const predicted = isOne && runs ? ids[layer]! : 0;
    const slice = { layer, topK: runs ? topK : 0, offset, predicted, logits: logits && runs ? experts : 0 };
    offset += routedStride(tokens, ffn, isOne, logits);
    return slice;
  });
  return { view: make(Math.max(4, offset)), slices };
}

/** The logs of one model: those that every step writes, and larger ones for requests that want the routers' logits. */
export class LogBuffers {
  readonly #gpu: Gpu;
  readonly #sizes: LogSizes;
  readonly plain: RoutingLogs;
  #withLogits: Promise<RoutingLogs> | null = null;

  /** @param routed where steps of more tokens than one leave their routing */
  constructor(gpu: Gpu, sizes: LogSizes, routed: BufferView) {
    this.#gpu = gpu;
    this.#sizes = sizes;
    this.plain = this.#logs(false, this.#make('routed (decode)'), () => routed);
  }

  /**
   * Made when they are first asked for, and kept.
   * @throws OutOfBudget when the GPU has no room for them
   */
  withLogits(): Promise<RoutingLogs> {
    const make = this.#make('router logits');
    this.#withLogits ??= this.#gpu
      .allocating('the logits of all routers', () => this.#logs(true, make, make))
      .catch((error: unknown) => {
        this.#withLogits = null;
        throw error;
      });
    return this.#withLogits;
  }

  #make(label: string): (bytes: number) => BufferView {
    return (bytes) => wholeBuffer(this.#gpu.createBuffer(label, 'activations', bytes));
  }

  /** Of a chunk and of a few in one buffer: no step is both. */
  #logs(logits: boolean, makeOne: (bytes: number) => BufferView, makeMany: (bytes: number) => BufferView): RoutingLogs {
    const chunk = routingLog(this.#sizes, { batch: 'chunk', logits }, makeMany);
    const few = routingLog(this.#sizes, { batch: 'few', logits }, (bytes) => subview(chunk.view, 0, bytes));
    return { one: routingLog(this.#sizes, { batch: 'one', logits }, makeOne), few, chunk };
  }
}
