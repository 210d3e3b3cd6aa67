/** Dawn devices for tests, on SwiftShader unless VK_ICD_FILENAMES or VK_DRIVER_FILES says otherwise. */
import { afterAll } from 'vitest';
import { minifyShaders } from '../../scripts/minify-wgsl.mjs';
import { openDawn } from '../../src/cli/dawn.ts';
import type { OpenDeviceOptions } from '../../src/gpu/device.ts';
import { Gpu } from '../../src/gpu/gpu.ts';
import { layerShaderText } from '../../src/gpu/layer-shaders.gen.ts';
import { shaderText } from '../../src/gpu/shaders.gen.ts';

/** Zeroing workgroup memory dominates SwiftShader's compile time; without it, no kernel can lean on zeros that it did not write. */
export const UNINITIALISED = 'enable-dawn-features=disable_workgroup_init';

/** Subgroup matrices, which Dawn offers only with this; with it, it offers unfinished features to all. */
const UNSAFE = 'allow_unsafe_apis';

export interface TestGpuOptions extends Omit<OpenDeviceOptions, 'gpu'> {
  /** Choose kernels as for the software adapter that this is; by default those for hardware run. */
  readonly asSoftware?: boolean;
}

/** The same device with kernels chosen for hardware or for software. */
export function pretend(gpu: Gpu, software: boolean): Gpu {
  return gpu.share({ ...gpu.facts, kernels: software ? 'software' : 'gpu' });
}

/** All shaders: as they are published, in the whole `npm test`; otherwise as they are written, for the sake of compilers' messages. */
const ALL = { ...shaderText, ...layerShaderText };
const SHADERS = process.env.WEBMOE_SHADERS === 'published' ? minifyShaders(ALL) : ALL;

/** Opens Dawn on a device that nothing else uses. Closes with the test file. */
export async function openOwnGpu({ asSoftware = false, ...options }: TestGpuOptions = {}): Promise<Gpu> {
  const gpu = await open(options);
  afterAll(() => gpu.dispose());
  return pretend(gpu, asSoftware);
}

/**
 * The device of this worker's test files, by what it was asked for: 80 to 90 % of a small model's test is the compiling of shaders, most of which
 * another file has compiled. Buffers go with the test file.
 */
export async function openTestGpu({ asSoftware = false, ...options }: TestGpuOptions = {}): Promise<Gpu> {
  const key = JSON.stringify(options);
  let shared = await devices.get(key);
  if (!shared || shared.gpu.loss) {
    const opening = openShared(options);
    devices.set(key, opening);
    shared = await opening;
  }
  const { gpu, free } = shared;
  afterAll(free);
  return pretend(gpu, asSoftware);
}

interface SharedGpu {
  readonly gpu: Gpu;
  /** Destroys every buffer of the device, whoever made it. */
  readonly free: () => void;
}

/** Test files of a worker share their modules (`isolate` in vite.config.ts). */
const devices = new Map<string, Promise<SharedGpu>>();

async function openShared(options: Omit<OpenDeviceOptions, 'gpu'>): Promise<SharedGpu> {
  const gpu = await open(options);
  const { device } = gpu;
  const create = device.createBuffer.bind(device);
  const made = new Set<GPUBuffer>();
  device.createBuffer = (descriptor) => {
    const buffer = create(descriptor);
    made.add(buffer);
    return buffer;
  };
  const free = (): void => {
    for (const buffer of made) buffer.destroy();
    made.clear();
  };
  return { gpu, free };
}

async function open(options: Omit<OpenDeviceOptions, 'gpu'>): Promise<Gpu> {
  const toggles = [options.arithmetic === 'f16' ? `${UNINITIALISED},${UNSAFE}` : UNINITIALISED];
  return Gpu.open(SHADERS, { ...options, gpu: await openDawn({ software: true, toggles }) });
}
