import { expect, it } from 'vitest';
import { Gpu } from '../../../src/gpu/gpu.ts';
import { layerShaderText } from '../../../src/gpu/layer-shaders.gen.ts';
import { paperGpu } from '../../../src/gpu/paper.ts';
import { layerOn } from '../../../src/layer/open.ts';

const around = (gpu: GPUDevice): Gpu => Gpu.around(gpu, {});

/** As much of a device as opening it takes. */
function device(adapterInfo?: Partial<GPUAdapterInfo>): { readonly gpu: GPUDevice; readonly heard: string[] } {
  const heard: string[] = [];
  const gpu = {
    lost: new Promise<never>(() => undefined),
    features: new Set<string>(),
    limits: { maxBufferSize: 1 },
    addEventListener: (name: string) => heard.push(name),
    destroy: () => heard.push('destroy'),
    ...(adapterInfo ? { adapterInfo } : {}),
  };
  return { gpu: gpu as unknown as GPUDevice, heard };
}

it('a foreign device is neither destroyed nor listened to: what it refuses is mostly its owner’s', () => {
  const { gpu, heard } = device();
  around(gpu).dispose();
  expect(heard).toEqual([]);
});

it('kernels are chosen by what the device says of its adapter', () => {
  expect(around(device().gpu).facts.kernels).toBe('gpu');
  expect(around(device({ description: 'llvmpipe (LLVM 15)' }).gpu).facts.kernels).toBe('software');
  expect(around(device({ isFallbackAdapter: true }).gpu).facts.kernels).toBe('software');
});

it.each(['gpu', 'software'] as const)(
  'a layer finds all shaders that it runs among its own, kernels for %s',
  async (kernels) => {
    const gpu = await paperGpu(kernels, layerShaderText);
    const size = { hidden_size: 6, intermediate_size: 4, num_experts: 4, max_tokens: 32 } as const;
    for (const hidden_act of ['silu', 'gelu_pytorch_tanh'] as const)
      await expect(layerOn(gpu, { ...size, hidden_act })).resolves.toBeDefined();
  },
);
