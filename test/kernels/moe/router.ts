/** The words of a router block, as the uploader would leave them. */
import type { RouterBlock } from '../../../src/kernels/moe/router_block.ts';

export interface RouterVectors {
  readonly gamma?: Float32Array | undefined; // [D]
  readonly logitBias?: Float32Array | undefined; // [E]
  readonly selectionBias?: Float32Array | undefined; // [E]
  readonly sharedGate?: Float32Array | undefined; // [D]
  readonly routerGains?: Float32Array | undefined; // [D]
  readonly expertScale?: Float32Array | undefined; // [E]
  readonly second?: Float32Array | undefined; // [E, inner]
}

/** @param matrix in the block's layout; gaps are filled with a NaN, which nothing may read */
export function routerWords(block: RouterBlock, matrix: Uint32Array, vectors: RouterVectors): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(block.bytes / 4).fill(0x7fc0dead);
  words.set(matrix);
  const place = (at: number, values: Float32Array | undefined): void => {
    if (at >= 0 !== (values !== undefined)) throw new Error('the block and its vectors disagree');
    if (values) words.set(new Uint32Array(values.buffer, values.byteOffset, values.length), at / 4);
  };
  place(block.gammaAt, vectors.gamma);
  place(block.logitBiasAt, vectors.logitBias);
  place(block.selectionBiasAt, vectors.selectionBias);
  place(block.sharedGateAt, vectors.sharedGate);
  place(block.routerGainsAt, vectors.routerGains);
  place(block.expertScaleAt, vectors.expertScale);
  place(block.secondAt, vectors.second);
  return words;
}
