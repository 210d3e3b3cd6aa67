import { prng } from '../../src/util/prng.ts';

/** Standard normal f32 values, times `scale`, plus `offset`. */
export function normals(seed: number, length: number, scale = 1, offset = 0): Float32Array<ArrayBuffer> {
  const u = prng(seed);
  return Float32Array.from(
    { length },
    () => Math.sqrt(-2 * Math.log(1 - u())) * Math.cos(2 * Math.PI * u()) * scale + offset,
  );
}

/** Integers in [0, below). */
export function integers(seed: number, length: number, below: number): Uint32Array<ArrayBuffer> {
  const u = prng(seed);
  return Uint32Array.from({ length }, () => Math.floor(u() * below));
}
