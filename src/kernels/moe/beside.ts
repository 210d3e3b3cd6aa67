/** The expert that every token takes beside the chosen ones, as entries of the expert dispatches: see shaders/moe/beside.wgsl. */
import type { BufferView } from '../../gpu/buffer.ts';
import type { DeviceFacts } from '../../gpu/device.ts';
import type { Constants, Imports } from '../../gpu/shader.ts';
import { alignUp, ceilDiv } from '../../util/math.ts';
import { weightFormat } from '../../weights/layout.ts';
import { productsImport } from '../linear/products.ts';
import { inputConstants, inputUnit, type InputUnit } from '../linear/x_rows.ts';
import type { DeviceMatrix } from '../matrix.ts';

export interface Beside {
  readonly gateUp: DeviceMatrix; // [2 Fs, D], any layout; row 2f is gate f, row 2f + 1 is up f; without gates [Fs, D], as `GluIo.weights`
  readonly down: DeviceMatrix; // [D, Fs]
  /** Where its values lie in `act` [T, Fs] and in `y` [T, D], in words: behind those of all pairs that there can be. Multiples of four. */
  readonly actAt: number;
  readonly yAt: number;
  /** What its output is multiplied by; default 1. */
  readonly weight?: BufferView; // [T]
}

/** `actAt` or `yAt` behind rows of `size` values for up to `pairs` pairs. */
export const besideAt = (pairs: number, size: number): number => alignUp(pairs * size, 4);

const PREFIX = 'beside_';

const prefixed = <V>(record: Readonly<Record<string, V>>): Record<string, V> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [PREFIX + name, value]));

/**
 * Constants, imports and bindings of a shader that imports `moe/beside` and reads one of its matrices; those without it when there is none.
 * @param facts for the kernels for a few tokens
 */
export function besideMatrix(
  beside: Beside | undefined,
  part: 'gateUp' | 'down',
  unit: InputUnit,
  facts?: DeviceFacts,
): { readonly constants: Constants; readonly imports: Imports; readonly bindings: Record<string, BufferView> } {
  if (!beside) return { constants: { BESIDE: false }, imports: {}, bindings: {} };
  const matrix = beside[part];
  const { constants, imports } = weightFormat(matrix.layout, matrix, false);
  const rows = inputConstants(matrix.cols, { xRow: matrix.cols, xAt: part === 'down' ? beside.actAt : 0 }, unit);
  return {
    constants: { BESIDE: true, ...prefixed({ ...constants, ...rows }) },
    imports: prefixed(
      facts ? { ...imports, products: productsImport(matrix.layout, facts, part === 'gateUp' ? 2 : 1) } : imports,
    ),
    bindings: { beside_values: matrix.view },
  };
}

/** Of rows of `act`, which experts of `width` and the one beside read. */
export const actUnit = (beside: Beside | undefined, width: number): InputUnit =>
  inputUnit(width, beside?.down.cols ?? 0, beside?.actAt ?? 0);

/** How many times the workgroups that cover `columns` must be laid out to cover `besideColumns`. */
export const besideTurns = (besideColumns: number, columns: number, perWorkgroup: number): number =>
  ceilDiv(ceilDiv(besideColumns, perWorkgroup), ceilDiv(columns, perWorkgroup));
