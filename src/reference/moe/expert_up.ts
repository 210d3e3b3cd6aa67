/** Twin of shaders/moe/expert_up.wgsl and expert_up_decode.wgsl. */
import type { Activation } from '../../config/model-config.ts';
import { upRows } from '../../config/activation.ts';
import { activated } from '../activation.ts';

/** One expert's weights, decoded. */
export interface ExpertWeights {
  /** Row 2f is gate f, row 2f + 1 is up f; without gates up f, and up f + F / 2. */
  readonly gateUp: ArrayLike<number>; // [2F, D], without gates [F, D]
  readonly down: ArrayLike<number>; // [D, F]
  readonly gateUpBias?: ArrayLike<number>; // as many as rows
  readonly downBias?: ArrayLike<number>; // [D]
}

/** For each output row, which row of x it comes from and which expert takes it; null stands for an expert that is not there. */
export interface Assignment {
  readonly row: number;
  readonly expert: ExpertWeights | null;
}

/** row `row` of `matrix` [N, size] times row `at` of x [., size] */
export function product(
  matrix: ArrayLike<number>,
  row: number,
  x: ArrayLike<number>,
  at: number,
  size: number,
): number {
  let sum = 0;
  for (let i = 0; i < size; i++) sum += matrix[row * size + i]! * x[at * size + i]!;
  return sum;
}

/** x [., D]; returns act, one row of F for each assignment, of a double gate 3F. */
export function expertUp(
  x: ArrayLike<number>,
  assignments: readonly Assignment[],
  activation: Activation,
  size: { readonly hidden: number; readonly width: number },
): Float64Array {
  const { hidden, width } = size;
  const rows = upRows(width, activation);
  const values = activation.kind === 'double-gate' ? rows : width;
  const act = new Float64Array(assignments.length * values);
  assignments.forEach(({ row, expert }, r) => {
    if (!expert) return;
    const both = (n: number): number => product(expert.gateUp, n, x, row, hidden) + (expert.gateUpBias?.[n] ?? 0);
    const products = Array.from({ length: rows }, (_, n) => both(n));
    act.set(activated(activation, products), r * values);
  });
  return act;
}
