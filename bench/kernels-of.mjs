// The kernels that a model runs on a GPU, as WGSL with all constants, without that GPU and without the model's weights.
import { readFileSync, rmSync } from 'node:fs';
import { fromSource } from './modules.mjs';
import { paperGpu } from './paper-gpu.mjs';

/** Layers of one kind share their kernels: those of the first few do for all. */
const LAYERS = 4;

/**
 * @param config path of a config.json
 * @param weights webmoe's option, for a checkpoint published in bf16
 * @param features of the adapter
 * @returns distinct { path, code }
 */
export async function kernelsOf(config, { weights, features = [], contextLength = 4096 }) {
  const { load, hollowFolder, openNodeSource } = await fromSource('kernels-of', [
    'node.ts',
    'engine/load.ts',
    '../test/support/hollow.ts',
  ]);
  const published = JSON.parse(readFileSync(config, 'utf8'));
  delete published.quantization_config;
  const layers = Math.min(LAYERS, published.num_hidden_layers);
  const types = published.layer_types && { layer_types: published.layer_types.slice(0, layers) };
  const folder = hollowFolder({ ...published, ...types, num_hidden_layers: layers });
  const { gpu, shaders } = paperGpu(features);
  try {
    const options = { gpu, weights, contextLength, storage: null, start: 'early', collect: false, gpuBytes: 2 ** 40 };
    const model = await load(await openNodeSource(folder), options);
    await model.dispose();
  } finally {
    rmSync(folder, { recursive: true });
  }
  return [...new Map(shaders.map((shader) => [shader.code, shader])).values()];
}
