// A GPU on paper: it takes every call that the engine makes, computes nothing, and keeps the shaders. So a model's kernels, with all their constants,
// can be had for any adapter and any size of model.
import { globals } from 'webgpu';

const LIMITS = {
  maxBufferSize: 2 ** 32 - 4,
  maxStorageBufferBindingSize: 2 ** 31 - 4,
  maxStorageBuffersPerShaderStage: 10,
  maxComputeWorkgroupStorageSize: 32768,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupSizeX: 1024,
  maxComputeWorkgroupsPerDimension: 65535,
};

const nothing = () => undefined;
const soon = () => Promise.resolve(null);

function buffer({ label, size, usage }) {
  let bytes;
  return {
    ...{ label, size, usage, destroy: nothing, unmap: nothing, mapAsync: soon },
    getMappedRange: (at = 0, length = size - at) => (bytes ??= new ArrayBuffer(size)).slice(0, length),
  };
}

/**
 * @param features that the adapter has, as in `shader-f16`
 * @returns `gpu`, in place of navigator.gpu, and `shaders`: one { path, code } for each module that was made on it
 */
export function paperGpu(features = []) {
  Object.assign(globalThis, globals);
  const shaders = [];
  const pass = { setPipeline: nothing, setBindGroup: nothing, dispatchWorkgroups: nothing, end: nothing };
  const encoder = {
    beginComputePass: () => pass,
    copyBufferToBuffer: nothing,
    clearBuffer: nothing,
    finish: () => ({}),
  };
  const device = {
    ...{ features: new Set(features), limits: LIMITS, lost: new Promise(nothing), destroy: nothing },
    ...{ pushErrorScope: nothing, popErrorScope: soon, createBuffer: buffer, createCommandEncoder: () => encoder },
    ...{ createBindGroupLayout: () => ({}), createPipelineLayout: () => ({}), createBindGroup: () => ({}) },
    createShaderModule({ label, code }) {
      shaders.push({ path: label, code });
      return {};
    },
    createComputePipelineAsync: () => Promise.resolve({}),
    queue: { submit: nothing, writeBuffer: nothing, onSubmittedWorkDone: soon },
  };
  const info = { vendor: 'paper', architecture: '', description: 'paper', isFallbackAdapter: false };
  const adapter = { info, features: new Set(features), limits: LIMITS, requestDevice: () => Promise.resolve(device) };
  return { gpu: { requestAdapter: () => Promise.resolve(adapter) }, shaders };
}
