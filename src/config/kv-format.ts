/** How keys and values are kept: `f16` takes half of what `f32` does; `int8`, with a scale for each token and head, about a quarter. */
export type KvFormat = 'f32' | 'f16' | 'int8';

export const KV_FORMATS: readonly KvFormat[] = ['f32', 'f16', 'int8'];
