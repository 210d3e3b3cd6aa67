/** One Dawn device per test file, on SwiftShader unless VK_ICD_FILENAMES or VK_DRIVER_FILES says otherwise. */
import { afterAll } from 'vitest';
import { openDawn } from '../../src/cli/dawn.ts';
import type { OpenDeviceOptions } from '../../src/gpu/device.ts';
import { Gpu } from '../../src/gpu/gpu.ts';

/** Opens Dawn. Closes with the test file. */
export async function openTestGpu(options: Omit<OpenDeviceOptions, 'gpu'> = {}): Promise<Gpu> {
  const gpu = await Gpu.open({ ...options, gpu: await openDawn({ software: true }) });
  afterAll(() => gpu.dispose());
  return gpu;
}
