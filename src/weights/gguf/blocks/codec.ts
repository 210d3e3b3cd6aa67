/** What turns the blocks of a ggml type into rows of a native layout. */
import type { Layout, MatrixShape } from '../../layout.ts';
import type { NativeRows } from '../../matrix.ts';

export interface BlockCodec {
  /** Holds every weight exactly, or is f16: see `exact`. */
  readonly layout: Layout;
  /** false: rounded to f16, far below what the type itself loses. */
  readonly exact: boolean;
  /** The same as rows of f16, for what adds to weights or takes them apart; where `layout` is one that only kernels read. */
  readonly floats?: BlockCodec;
  /**
   * @param bytes whole rows, one after the other
   * @throws InvalidCheckpoint `not-finite` for weights that are no numbers of f16
   */
  rows(bytes: Uint8Array<ArrayBuffer>, shape: MatrixShape): NativeRows;
}

export const NO_WORDS = new Uint32Array(0);

/** A half-precision number, as ggml stores scales. */
export const halfAt = (b: Uint8Array, at: number): number => b[at]! | (b[at + 1]! << 8);
