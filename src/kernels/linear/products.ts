/** Which arithmetic and which reductions the kernels for a few tokens are compiled with: see shaders/weights/products_*.wgsl and shared/team_sum.wgsl. */
import type { DeviceFacts } from '../../gpu/device.ts';
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

/** Whether tiles of many tokens are multiplied in f16. Experts beside others share their tiles, in one arithmetic. */
export const tilesInF16 = (layout: Layout, beside: DeviceMatrix | undefined, facts: DeviceFacts): boolean =>
  facts.kernels === 'gpu' &&
  facts.arithmetic === 'f16' &&
  isBytes(layout) &&
  (beside === undefined || isBytes(beside.layout));

/** Whether lanes add up what they share by subgroup operations. */
export const hasSubgroups = ({ kernels, features }: DeviceFacts): boolean =>
  kernels === 'gpu' && features.has('subgroups');
