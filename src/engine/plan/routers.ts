/** Which routers share a buffer. */
import { OutOfBudget } from '../../errors.ts';
import type { RouterSpec } from '../describe/specs.ts';

/** Router blocks of neighbouring MoE layers, one after the other in one buffer: of all, unless they exceed a binding. */
export interface RouterBuffer {
  readonly layers: readonly number[];
  readonly bytes: number;
  /** Of `bytes`, what nothing reads. */
  readonly paddingBytes: number;
}

/** @throws OutOfBudget for a router that this GPU cannot bind */
export function planRouters(routers: readonly RouterSpec[], bindingBytes: number): RouterBuffer[] {
  const buffers: { layers: number[]; bytes: number; paddingBytes: number }[] = [];
  routers.forEach(({ block: { bytes, usedBytes }, label }, layer) => {
    if (bytes > bindingBytes) {
      throw new OutOfBudget(`${label} takes ${bytes} bytes, more than this GPU binds at once (${bindingBytes})`, {
        label,
        bytes,
        bindingBytes,
      });
    }
    const last = buffers.at(-1);
    if (last && last.bytes + bytes <= bindingBytes) {
      last.layers.push(layer);
      last.bytes += bytes;
      last.paddingBytes += bytes - usedBytes;
    } else buffers.push({ layers: [layer], bytes, paddingBytes: bytes - usedBytes });
  });
  return buffers;
}
