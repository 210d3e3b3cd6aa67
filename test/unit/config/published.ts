/** Configs of real models with all the keys their files carry, in the form of transformers 4, and the form that transformers 5 saves. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Json } from '../../../src/config/read.ts';

export type JsonObject = { [key: string]: Json };

const folder = fileURLToPath(new URL('published/', import.meta.url));

export const PUBLISHED = readdirSync(folder).map((file) => file.replace(/\.json$/, ''));

export const published = (name: string): JsonObject =>
  JSON.parse(readFileSync(`${folder}${name}.json`, 'utf8')) as JsonObject;

/** What transformers 5 writes for the same model: `dtype`, `rope_parameters` with theta, type and share inside, new names of counts. */
export function toV5(config: JsonObject): JsonObject {
  const {
    torch_dtype: dtype = 'bfloat16',
    rope_theta,
    rope_scaling,
    partial_rotary_factor: partial,
    num_experts: experts,
    ...rest
  } = config;
  const { type, rope_type, ...scaling } = (rope_scaling ?? {}) as JsonObject;
  const scaled: Json = {
    ...scaling,
    rope_theta: rope_theta ?? null,
    rope_type: rope_type ?? type ?? 'default',
    ...(partial === undefined ? {} : { partial_rotary_factor: partial }),
  };
  // OLMo 3 scales layers with full attention only.
  const rope_parameters =
    config.model_type === 'olmo3'
      ? { full_attention: scaled, sliding_attention: { rope_theta: rope_theta ?? null, rope_type: 'default' } }
      : scaled;
  return {
    ...rest,
    dtype,
    // A model without positions has none.
    ...(rope_theta === undefined && rope_scaling === undefined ? {} : { rope_parameters }),
    ...(experts === undefined ? {} : { num_local_experts: experts }),
    transformers_version: '5.18.0',
  };
}
