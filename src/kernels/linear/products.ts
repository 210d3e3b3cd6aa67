/** Which arithmetic and which reductions the kernels for a few tokens are compiled with: see shaders/linear/products_*.wgsl and shared/team_sum.wgsl. */
import type { DeviceFacts } from '../../gpu/device.ts';
import type { Layout } from '../../weights/layout.ts';

/** Layouts whose weights a shader can take as bytes: `bytes32` of shaders/weights/. */
const isBytes = (layout: Layout): boolean => layout.kind === 'int' || layout.kind === 'mxfp4';

const OF_BYTES = {
  f32: 'linear/products_bytes',
  f16: 'linear/products_f16',
  int8: 'linear/products_int8',
} as const;

/** What `#import products` stands for. */
export const productsImport = (layout: Layout, facts: DeviceFacts): string =>
  facts.kernels === 'gpu' && isBytes(layout) ? OF_BYTES[facts.arithmetic] : 'linear/products_plain';

/** Whether lanes add up what they share by subgroup operations. */
export const hasSubgroups = ({ kernels, features }: DeviceFacts): boolean =>
  kernels === 'gpu' && features.has('subgroups');
