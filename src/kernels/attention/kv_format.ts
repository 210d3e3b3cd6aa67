/** How keys and values lie in their caches: see shaders/kv/. */
import type { KvFormat } from '../../config/kv-format.ts';
import type { Constants, Imports } from '../../gpu/shader.ts';
import { invariant } from '../../util/assert.ts';

/** Bytes of one token's key, or value, of one head. */
export const kvRowBytes = (format: KvFormat, size: number): number =>
  format === 'f32' ? 4 * size : format === 'f16' ? 2 * size : size + 4;

/** Values that share a word must be of one row. */
export const fitsKvFormat = (format: KvFormat, size: number): boolean => format === 'f32' || size % 4 === 0;

interface KvAccess {
  readonly constants: Constants;
  readonly imports: Imports;
}

/**
 * For a shader that imports `kv_format` with a prefix.
 * @param prefix `k_` or `v_`
 * @param size values of a row
 * @param quads whether the shader takes four values at once; packed formats can be read either way
 * @param writes whether it also writes rows
 */
export function kvAccess(
  format: KvFormat,
  prefix: 'k_' | 'v_',
  { size, quads, writes }: { readonly size: number; readonly quads: boolean; readonly writes: boolean },
): KvAccess {
  invariant(fitsKvFormat(format, size), `rows of ${size} values in ${format}`);
  return {
    constants: {
      [`${prefix}ROW`]: kvRowBytes(format, size) / 4,
      [`${prefix}WRITES`]: writes,
      ...(format === 'f32' && { [`${prefix}VEC4`]: quads }),
    },
    imports: { [`${prefix}kv_format`]: `kv/${format}` },
  };
}

/** What the shaders around the formats ask: whether rows are packed, and whether a row has a scale. */
export const kvFlags = (format: KvFormat): { readonly PACKED: boolean; readonly SCALED: boolean } => ({
  PACKED: format !== 'f32',
  SCALED: format === 'int8',
});
