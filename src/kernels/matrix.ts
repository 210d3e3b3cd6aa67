import type { BufferView } from '../gpu/buffer.ts';
import type { Layout, MatrixShape } from '../weights/layout.ts';

/** A weight matrix on the GPU: one contiguous range in a native layout (weights/layout.ts). */
export interface DeviceMatrix extends MatrixShape {
  readonly view: BufferView;
  readonly layout: Layout;
}
