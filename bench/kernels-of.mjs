// The kernels that a model runs on a GPU, as WGSL with all constants, without that GPU and without the model's weights.
import { readFileSync, rmSync } from 'node:fs';
import { fromSource } from './modules.mjs';
import { paperGpu } from './paper-gpu.mjs';

/** Layers of one kind share their kernels: those of the first few do for all. */
const LAYERS = 4;

/**
 * @param model a folder with a checkpoint; or a published config.json, whose first layers are then loaded as if they were published in bf16, without weights
 * @param weights webmoe's option
 * @param features of the adapter
 * @param arithmetic webmoe's option
 * @param kv webmoe's option
 * @param tune webmoe's option
 * @param vocab in place of a config's own vocabulary, for kernels that do not depend on it: loading then reads less
 * @returns distinct { path, code }
 */
export async function kernelsOf(
  model,
  { weights = 'as-is', features = [], arithmetic = 'f32', contextLength = 4096, kv, tune, vocab },
) {
  const { load, hollowFolder, openNodeSource } = await fromSource('kernels-of', [
    'node.ts',
    'engine/load.ts',
    '../test/support/hollow.ts',
  ]);
  const isConfig = model.endsWith('.json');
  const folder = isConfig ? hollowFolder(firstLayers(JSON.parse(readFileSync(model, 'utf8')), vocab)) : model;
  const { gpu, shaders } = paperGpu(features);
  try {
    const options = {
      gpu,
      weights,
      arithmetic,
      contextLength,
      kv,
      tune,
      storage: null,
      start: 'early',
      collect: false,
      gpuBytes: 2 ** 40,
    };
    const loaded = await load(await openNodeSource(folder), options);
    await loaded.dispose();
  } finally {
    if (isConfig) rmSync(folder, { recursive: true });
  }
  return [...new Map(shaders.map((shader) => [shader.code, shader])).values()];
}

function firstLayers({ layer_types, ...config }, vocab = config.vocab_size) {
  delete config.quantization_config;
  const layers = Math.min(LAYERS, config.num_hidden_layers);
  const types = layer_types && { layer_types: layer_types.slice(0, layers) };
  return { ...config, ...types, num_hidden_layers: layers, vocab_size: vocab, eos_token_id: 0 };
}
