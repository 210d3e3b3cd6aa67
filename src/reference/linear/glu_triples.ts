/** Twin of shaders/linear/glu_triples.wgsl. products [R, 3 width]; returns [R, width]. */
import { tripled } from '../activation.ts';

export function gluTriples(products: Float32Array | Float64Array, width: number): Float64Array {
  const rows = Array.from({ length: products.length / (3 * width) }, (_, r) =>
    products.subarray(3 * width * r, 3 * width * (r + 1)),
  );
  return Float64Array.from(rows.flatMap((row) => [...tripled(row)]));
}
