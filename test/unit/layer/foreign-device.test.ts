import { expect, it } from 'vitest';
import { Gpu } from '../../../src/gpu/gpu.ts';

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
  Gpu.around(gpu).dispose();
  expect(heard).toEqual([]);
});

it('kernels are chosen by what the device says of its adapter', () => {
  expect(Gpu.around(device().gpu).facts.kernels).toBe('gpu');
  expect(Gpu.around(device({ description: 'llvmpipe (LLVM 15)' }).gpu).facts.kernels).toBe('software');
  expect(Gpu.around(device({ isFallbackAdapter: true }).gpu).facts.kernels).toBe('software');
});
