/** Dawn devices for tests, on SwiftShader unless VK_ICD_FILENAMES or VK_DRIVER_FILES says otherwise. */
import { afterAll } from 'vitest';
import { minifyShaders } from '../../scripts/minify-wgsl.mjs';
import { openDawn, openOwnDawn } from '../../src/cli/dawn.ts';
import type { OpenDeviceOptions } from '../../src/gpu/device.ts';
import { Gpu } from '../../src/gpu/gpu.ts';
import { layerShaderText } from '../../src/gpu/layer-shaders.gen.ts';
import { shaderText } from '../../src/gpu/shaders.gen.ts';

export interface TestGpuOptions extends Omit<OpenDeviceOptions, 'gpu'> {
  /** Without the check of every access to a buffer that browsers have. */
  readonly unchecked?: boolean;
  /** Choose kernels as for the software adapter that this is; by default those for hardware run. */
  readonly asSoftware?: boolean;
}

type DeviceOptions = Omit<TestGpuOptions, 'asSoftware'>;

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

async function openShared(options: DeviceOptions): Promise<SharedGpu> {
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

/**
 * For whole models, on SwiftShader: without the checks of every access a model's shaders compile in 60 % of the time. A kernel that leaned on them would
 * give a wrong value here, or end the process. The kernels' own tests have them, as have those of odd sizes, of the command line and of Chromium.
 */
export const openModelDawn = (): Promise<GPU> =>
  openDawn({ software: true, toggles: ['enable-dawn-features=disable_workgroup_init,disable_robustness'] });

/** The worker's device for whole models: WebGPU's guaranteed limits and no optional feature must be enough. */
export const openModelGpu = (): Promise<Gpu> => openTestGpu({ defaultLimits: true, unchecked: true });

async function open({ unchecked = false, ...options }: DeviceOptions): Promise<Gpu> {
  const gpu = unchecked
    ? await openModelDawn()
    : await openOwnDawn({ software: true, unfinished: options.arithmetic === 'f16' });
  return Gpu.open(SHADERS, { ...options, gpu });
}
