/** Opens a layer: buffers, the two programs, first weights. */
import type { LayerShape } from '../config/moe-layer.ts';
import { Gpu } from '../gpu/gpu.ts';
import { layerShaderText } from '../gpu/layer-shaders.gen.ts';
import { Recorder, type Program } from '../gpu/recording.ts';
import { backward } from '../kernels/layer/backward.ts';
import { choose, columnSums, gate } from '../kernels/layer/gate.ts';
import { merge } from '../kernels/layer/merge.ts';
import { place, weigh } from '../kernels/layer/place.ts';
import { sizesOf } from '../kernels/layer/views.ts';
import { expertDown } from '../kernels/moe/expert_down.ts';
import { expertUp } from '../kernels/moe/expert_up.ts';
import { group } from '../kernels/moe/group.ts';
import { MISSING_SLOT } from '../moe/slots.ts';
import { layerBuffers, TILE_ROWS, type LayerBuffers } from './buffers.ts';
import { GpuLayer } from './layer.ts';
import type { MoELayer } from './moe-layer.ts';
import { planLayer, type MoELayerOptions } from './options.ts';
import { firstWeights } from './weights.ts';

/**
 * Opens a layer on `device`, which stays the caller's. Weights are drawn from the seed until `write` gives others.
 * @throws InvalidRequest for options that do not go together, OutOfBudget when the device has no room, DeviceLost
 */
export const createMoELayer = (device: GPUDevice, options: MoELayerOptions): Promise<MoELayer> =>
  layerOn(Gpu.around(device, layerShaderText), options);

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
    const layer = new GpuLayer(gpu, plan, buffers, run, back);
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
