/** Metadata of a GGUF file as the config.json of the model that it was made from: what our families read. */
import type { ConfigReader, Json } from '../../config/read.ts';
import { UnsupportedModel } from '../../errors.ts';
import { ARCHITECTURES, type JsonObject } from './architectures.ts';
import type { ModelFile } from './model-file.ts';

/** A number for all layers, or a list of one for each, 0 where there is none: all others must be the same. */
function sameInAllLayers(keys: ConfigReader, key: string): Json | undefined {
  const value = keys.raw(key);
  if (!Array.isArray(value)) return value;
  const [first, ...others] = value.filter((v) => v !== 0);
  if (first === undefined || others.some((v) => v !== first))
    throw new UnsupportedModel(`${keys.path}: ${key} differs from layer to layer, which is not supported`, { key });
  return first;
}

function ropeScaling({ keys, longRope }: ModelFile): JsonObject | null {
  const type = keys.raw('rope.scaling.type') ?? 'none';
  keys.irrelevant('rope.scaling.finetuned'); // says how the scaling came about
  const factor = keys.raw('rope.scaling.factor');
  const original = keys.raw('rope.scaling.original_context_length');
  const logMultiplier = keys.raw('rope.scaling.yarn_log_multiplier');
  const [fast, slow] = [keys.raw('rope.scaling.yarn_beta_fast'), keys.raw('rope.scaling.yarn_beta_slow')];
  const amplitude = keys.raw('rope.scaling.attn_factor');
  if (longRope)
    return {
      type: 'longrope',
      short_factor: [...longRope.short],
      long_factor: [...longRope.long],
      ...(original !== undefined && { original_max_position_embeddings: original }),
      ...(amplitude !== undefined && { attention_factor: amplitude }),
    };
  if (type === 'none') return null;
  if (type === 'longrope')
    throw new UnsupportedModel(`${keys.path}: a longrope scaling without its lists of factors is not run`, { type });
  if (type !== 'yarn') return { type, ...(factor !== undefined && { factor }) };
  // YaRN's mscale and mscale_all_dim are one number in all published models that have them; a tenth of it is stored.
  const mscale = typeof logMultiplier === 'number' ? Number((10 * logMultiplier).toPrecision(6)) : null;
  return {
    type,
    ...(factor !== undefined && { factor }),
    ...(original !== undefined && { original_max_position_embeddings: original }),
    ...(fast !== undefined && { beta_fast: fast }),
    ...(slow !== undefined && { beta_slow: slow }),
    ...(amplitude !== undefined && amplitude !== 1 && { attention_factor: amplitude }),
    ...(mscale !== null && { mscale, mscale_all_dim: mscale }),
  };
}

/** Keys that all architectures share. */
function common(model: ModelFile): JsonObject {
  const { keys, hasTensor, shapeOf } = model;
  const layers = keys.integer('block_count') - keys.integer('nextn_predict_layers', { min: 0, fallback: 0 });
  // About inference in llama.cpp, or told better by the tensors.
  keys.irrelevant('vocab_size', 'attention.causal', 'pooling_type', 'expert_group_scale', 'use_parallel_residual');
  const scaling = ropeScaling(model);
  return {
    vocab_size: shapeOf('token_embd.weight')?.[0] ?? 0,
    hidden_size: keys.integer('embedding_length'),
    num_hidden_layers: layers,
    max_position_embeddings: keys.integer('context_length'),
    rms_norm_eps: keys.number('attention.layer_norm_rms_epsilon'),
    tie_word_embeddings: !hasTensor('output.weight'),
    num_attention_heads: sameInAllLayers(keys, 'attention.head_count') ?? null,
    num_key_value_heads: sameInAllLayers(keys, 'attention.head_count_kv') ?? null,
    rope_theta: keys.number('rope.freq_base', { fallback: 10_000 }),
    ...(scaling && { rope_scaling: scaling }),
  };
}

export interface GgufTokenIds {
  readonly bos: number | null;
  readonly eos: number | null;
}

/**
 * @param file where the weights are
 * @throws UnsupportedModel naming an architecture or keys that are not run; InvalidCheckpoint for values that no model can have
 */
export function ggufConfig(model: ModelFile, file: string, { bos, eos }: GgufTokenIds): JsonObject {
  const architecture = ARCHITECTURES.get(model.architecture);
  if (!architecture) {
    const supported = [...ARCHITECTURES.keys()];
    throw new UnsupportedModel(
      `${file}: architecture "${model.architecture.slice(0, 40)}" is not supported in GGUF files; supported are ${supported.join(', ')}`,
      { file, architecture: model.architecture, supported },
    );
  }
  if (model.hasTensor('rope_freqs.weight'))
    throw new UnsupportedModel(`${file} has a table of rotary frequencies (rope_freqs), which is not run`, { file });
  const base = common(model);
  const own = architecture(model, base);
  model.keys.finish();
  return {
    ...base,
    ...own.config,
    ...(bos !== null && { bos_token_id: bos }),
    ...(eos !== null && { eos_token_id: eos }),
    quantization_config: { quant_method: 'gguf', file, ...own.weights },
  };
}
