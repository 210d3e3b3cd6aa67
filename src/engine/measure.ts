/** What this device takes for the things that modes and plans weigh. */
import type { BufferView } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { Readback } from '../gpu/readback.ts';

/** The first are slower. */
const ROUNDS = 8;

/** Milliseconds from a submit to its bytes in our hands: the median of a few. */
export async function measureSync(gpu: Gpu, view: BufferView): Promise<number> {
  const readback = await gpu.allocating('sync probe', () => new Readback(gpu, 'sync probe', view.size));
  const times: number[] = [];
  try {
    for (let i = 0; i < ROUNDS; i++) {
      const startedAt = performance.now();
      const encoder = gpu.device.createCommandEncoder();
      readback.encode(encoder, view);
      gpu.submit(encoder.finish());
      await readback.read(view.size);
      times.push(performance.now() - startedAt);
    }
  } finally {
    readback.dispose();
  }
  return times.sort((a, b) => a - b)[ROUNDS >> 1]!;
}
