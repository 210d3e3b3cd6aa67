/** `quantization` of MLX: bits and groups for all modules, and settings of single modules under their names; `false` says that one is left alone. */
import { ConfigReader, type Json } from '../../config/read.ts';
import { cached } from './config-cache.ts';

export type MlxScheme =
  { readonly mode: 'affine'; readonly bits: 4 | 8; readonly group: number } | { readonly mode: 'mxfp4' };

export interface MlxConfig {
  /** null: left alone. */
  schemeOf(module: string): MlxScheme | null;
}

const GENERAL = new Set(['group_size', 'bits', 'mode', 'quant_method', 'linear_class', 'quantize_embeddings']);

function readScheme(c: ConfigReader, base: MlxScheme | null): MlxScheme {
  // The other modes are published too rarely to be worth a reader yet.
  c.only('mode', 'affine', 'mxfp4');
  const mode = c.oneOf('mode', ['affine', 'mxfp4'], base?.mode ?? 'affine');
  if (mode === 'mxfp4') {
    c.only('bits', 4);
    c.only('group_size', 32);
    return { mode };
  }
  const affine = base?.mode === 'affine' ? base : null;
  c.only('bits', 4, 8);
  c.only('group_size', 32, 64, 128);
  const bits = c.integer('bits', affine ? { fallback: affine.bits } : {}) === 4 ? 4 : 8;
  return { mode, bits, group: c.integer('group_size', affine ? { fallback: affine.group } : {}) };
}

/** @throws UnsupportedModel, InvalidCheckpoint */
export const mlxConfig = cached((quantization: Json): MlxConfig => {
  const c = new ConfigReader(quantization, 'config.json: quantization');
  const base = readScheme(c, null);
  c.irrelevant(...GENERAL);
  const overrides = new Map<string, MlxScheme | null>();
  for (const [name, value] of Object.entries(quantization as Record<string, Json>)) {
    if (GENERAL.has(name)) continue;
    if (typeof value === 'boolean') overrides.set(name, c.boolean(name) ? base : null);
    // What is no setting of a module is left for `finish` to refuse.
    const settings = value !== null && typeof value === 'object' ? c.section(name) : undefined;
    if (!settings) continue;
    overrides.set(name, readScheme(settings, base));
    settings.finish();
  }
  c.finish();
  return {
    schemeOf(module) {
      const own = overrides.get(module);
      return own === undefined ? base : own;
    },
  };
});
