/**
 * Which arithmetic and which reductions kernels are compiled with. For a few tokens: shaders/weights/products_*.wgsl and shared/team_sum.wgsl; for many:
 * shaders/linear/matmul_tile.wgsl, parts_halves and parts_matrices.
 */
import type { DeviceFacts } from '../../gpu/device.ts';
import type { Constants } from '../../gpu/shader.ts';
import type { Layout } from '../../weights/layout.ts';
import type { DeviceMatrix } from '../matrix.ts';

/** Layouts whose weights a shader can take as bytes: `bytes32` of shaders/weights/. */
const isBytes = (layout: Layout): boolean => layout.kind === 'int' || layout.kind === 'mxfp4';

/**
 * What `#import products` stands for.
 * @param rows that a lane multiplies with the same inputs: for one, adding up its inputs costs what it saves
 */
export function productsImport(layout: Layout, { kernels, arithmetic }: DeviceFacts, rows: number): string {
  if (kernels === 'software' || !isBytes(layout)) return 'weights/products_plain';
  if (arithmetic === 'f32') return rows > 1 ? 'weights/products_bytes' : 'weights/products_plain';
  return arithmetic === 'f16' ? 'weights/products_f16' : 'weights/products_int8';
}

/**
 * How tiles of many tokens are multiplied, as constants of their shaders: in f32, in f16, or in f16 by the adapter's subgroup matrices. Experts beside others
 * share their tiles, in one arithmetic.
 */
export function tileConstants(layout: Layout, beside: DeviceMatrix | undefined, facts: DeviceFacts): Constants {
  const { kernels, arithmetic, matrices } = facts;
  const f16 =
    kernels === 'gpu' && arithmetic === 'f16' && isBytes(layout) && (beside === undefined || isBytes(beside.layout));
  if (!f16 || !matrices) return { F16: f16, MATRICES: false };
  return { F16: true, MATRICES: true, MATRIX_M: matrices.m, MATRIX_N: matrices.n, MATRIX_K: matrices.k };
}

/** Whether lanes add up what they share by subgroup operations. */
export const hasSubgroups = ({ kernels, features }: DeviceFacts): boolean =>
  kernels === 'gpu' && features.has('subgroups');
