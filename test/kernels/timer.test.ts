import { expect, it } from 'vitest';
import { wholeBuffer } from '../../src/gpu/buffer.ts';
import { Recorder } from '../../src/gpu/recording.ts';
import { STEP_BYTES, writeStep } from '../../src/gpu/step.ts';
import { KernelTimer } from '../../src/gpu/timer.ts';
import { rmsNorm } from '../../src/kernels/norm/rms_norm.ts';
import { openTestGpu } from '../support/gpu.ts';

const gpu = await openTestGpu();

it('times each dispatch in a pass of its own while it is set, and none after', async () => {
  const view = (bytes: number, usage = 0): ReturnType<typeof wholeBuffer> =>
    wholeBuffer(gpu.createBuffer('view', 'activations', bytes, usage));
  const step = view(STEP_BYTES, GPUBufferUsage.UNIFORM);
  gpu.write(step, new Uint8Array(writeStep(new ArrayBuffer(STEP_BYTES), 1, 0)));
  const recorder = new Recorder(gpu, step);
  const io = { x: view(256), gamma: view(256), out: view(256) };
  for (const label of ['first', 'second']) rmsNorm(recorder, label, io, { size: 64, eps: 1e-5 });
  const program = await recorder.finish();
  const passesOf = async (): Promise<number> => {
    const before = gpu.counters.passes;
    const encoder = gpu.device.createCommandEncoder();
    program.encode(encoder, { tokens: 1, position: 0 });
    gpu.submit(encoder.finish());
    await gpu.idle();
    return gpu.counters.passes - before;
  };
  const timer = new KernelTimer(gpu);
  gpu.timer = timer;
  expect(await passesOf()).toBe(2);
  const [norm, ...others] = await timer.read();
  expect([norm?.shader, norm?.dispatches, others]).toEqual(['norm/rms_norm', 2, []]);
  expect(norm!.milliseconds).toBeGreaterThan(0);
  expect(await timer.read()).toEqual([]);
  gpu.timer = null;
  expect(await passesOf()).toBe(1);
  timer.dispose();
});
