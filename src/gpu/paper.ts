/**
 * A device that exists on paper: buffers have sizes and no memory, shaders are expanded and not compiled, nothing runs. What is recorded on it can be
 * counted, for models of any size on machines without a GPU.
 */
import type { KernelChoice } from './device.ts';
import { Gpu } from './gpu.ts';
import { shaderText } from './shaders.gen.ts';

/** The namespaces that recording needs, with the numbers of the WebGPU specification, where nothing has set them up. */
const NAMESPACES = {
  GPUBufferUsage: {
    MAP_READ: 0x1,
    MAP_WRITE: 0x2,
    COPY_SRC: 0x4,
    COPY_DST: 0x8,
    UNIFORM: 0x40,
    STORAGE: 0x80,
  },
  GPUShaderStage: { COMPUTE: 0x4 },
};

/** Sizes that no model reaches: plans for a real device come with that device's limits. */
const LIMITS = {
  maxBufferSize: Number.MAX_SAFE_INTEGER,
  maxStorageBufferBindingSize: Number.MAX_SAFE_INTEGER,
  maxStorageBuffersPerShaderStage: 8,
  maxComputeWorkgroupStorageSize: 16384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupsPerDimension: 65535,
};

const nothing = (): undefined => undefined;

function paperDevice(): object {
  return {
    features: new Set<string>(),
    limits: LIMITS,
    lost: new Promise(nothing),
    queue: { writeBuffer: nothing, onSubmittedWorkDone: () => Promise.resolve() },
    createBuffer: ({ label, size }: GPUBufferDescriptor) => ({ label, size, destroy: nothing }),
    createBindGroupLayout: () => ({}),
    createPipelineLayout: () => ({}),
    createBindGroup: () => ({}),
    createShaderModule: () => ({}),
    createComputePipelineAsync: () => Promise.resolve({}),
    pushErrorScope: nothing,
    popErrorScope: () => Promise.resolve(null),
    destroy: nothing,
  };
}

/**
 * @param kernels which of the two sets is recorded
 * @param shaders texts by path; by default the engine's
 */
export function paperGpu(kernels: KernelChoice, shaders = shaderText): Promise<Gpu> {
  const scope = globalThis as Record<string, unknown>;
  for (const [name, values] of Object.entries(NAMESPACES)) scope[name] ??= values;
  const info = { vendor: '', architecture: 'paper', description: 'a device on paper', isFallbackAdapter: false };
  const adapter = { info, limits: LIMITS, features: new Set<string>(), requestDevice: async () => paperDevice() };
  const gpu = { requestAdapter: () => Promise.resolve(adapter) };
  return Gpu.open(shaders, { gpu: gpu as unknown as GPU, kernels });
}
