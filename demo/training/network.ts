/** One layer that learns: what it is asked for are the first values of its output. */
import { createMoELayer, type MoELayer, type MoELayerOptions, type MoELayerRun } from '../../src/layer/index.ts';
import type { MoELayerWeights } from '../../src/layer/index.ts';
import { Adam, type Arrays } from './adam.ts';
import { FEATURES, OUTPUTS, type Batch } from './task.ts';

const RATE = 0.02;
/** Routers start out nearly undecided: theirs have further to go. */
const ROUTER_RATE = 0.03;

export class Network {
  readonly layer: MoELayer;
  /** As they are on the GPU. */
  readonly weights: MoELayerWeights;
  readonly #adam = new Adam((name) => (name === 'router' ? ROUTER_RATE : RATE));

  private constructor(layer: MoELayer, weights: MoELayerWeights) {
    this.layer = layer;
    this.weights = weights;
  }

  static async create(device: GPUDevice, options: MoELayerOptions): Promise<Network> {
    const layer = await createMoELayer(device, options);
    return new Network(layer, await layer.read());
  }

  /** One step of gradient descent on the mean squared error and the layer's own losses. */
  async train(batch: Batch): Promise<{ readonly run: MoELayerRun; readonly error: number }> {
    const run = await this.layer.forward(batch.x, { training: true });
    const { error, gradient } = missed(await this.layer.readOutput(), batch.y);
    await this.layer.backward(gradient);
    this.#adam.step(this.weights as unknown as Arrays, (await this.layer.readGradients()) as unknown as Arrays);
    await this.layer.write(this.weights);
    return { run, error };
  }

  /** Without noise. */
  async look(batch: Batch): Promise<{ readonly run: MoELayerRun; readonly error: number }> {
    const run = await this.layer.forward(batch.x);
    return { run, error: missed(await this.layer.readOutput(), batch.y).error };
  }
}

/** Mean squared error, and its gradient by the output [T, FEATURES]. */
function missed(output: Float32Array, y: Float32Array): { error: number; gradient: Float32Array<ArrayBuffer> } {
  const gradient = new Float32Array(output.length);
  let sum = 0;
  y.forEach((wanted, i) => {
    const at = Math.floor(i / OUTPUTS) * FEATURES + (i % OUTPUTS);
    const off = output[at]! - wanted;
    sum += off * off;
    gradient[at] = (2 * off) / y.length;
  });
  return { error: sum / y.length, gradient };
}
