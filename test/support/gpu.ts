/** One Dawn device per test file, on SwiftShader unless VK_ICD_FILENAMES or VK_DRIVER_FILES says otherwise. */
import { afterAll } from 'vitest';
import { minifyShaders } from '../../scripts/minify-wgsl.mjs';
import { openDawn } from '../../src/cli/dawn.ts';
import type { OpenDeviceOptions } from '../../src/gpu/device.ts';
import { Gpu } from '../../src/gpu/gpu.ts';
import { layerShaders } from '../../src/kernels/layer/shaders.ts';

/** Zeroing workgroup memory dominates SwiftShader's compile time; without it, no kernel can lean on zeros that it did not write. */
export const UNINITIALISED = 'enable-dawn-features=disable_workgroup_init';

export interface TestGpuOptions extends Omit<OpenDeviceOptions, 'gpu'> {
  /** Choose kernels as for the software adapter that this is; by default those for hardware run. */
  readonly asSoftware?: boolean;
}

/** The same device with kernels chosen for hardware or for software. */
export function pretend(gpu: Gpu, software: boolean): Gpu {
  return gpu.share({ ...gpu.facts, kernels: software ? 'software' : 'gpu' });
}

/** All shaders: as they are published, in the whole `npm test`; otherwise as they are written, for the sake of compilers' messages. */
const SHADERS = process.env.WEBMOE_SHADERS === 'published' ? minifyShaders(layerShaders) : layerShaders;

/** Opens Dawn. Closes with the test file. */
export async function openTestGpu({ asSoftware = false, ...options }: TestGpuOptions = {}): Promise<Gpu> {
  const gpu = await Gpu.open({ ...options, gpu: await openDawn({ software: true, toggles: [UNINITIALISED] }) });
  gpu.pipelines.sources = SHADERS;
  afterAll(() => gpu.dispose());
  return pretend(gpu, asSoftware);
}
