/**
 * GPUs that predictions are made for. Bandwidth and arithmetic are the makers' figures. What a dispatch costs nobody publishes with a GPU: `launch`
 * is the least that was reported, `slowLaunch` the most, and each says by whom.
 */
export interface KnownGpu {
  readonly name: string;
  readonly bytesPerSecond: number;
  /** f32, two for a multiply-add. */
  readonly flopsPerSecond: number;
  readonly launchSeconds: number;
  readonly launchSource: string;
  readonly slowLaunchSeconds: number;
  readonly memorySource: string;
}

/** Of the API alone: 24 to 36 µs through Vulkan, 32 to 71 through Metal. */
const SLOW_VULKAN = 36e-6;
const SLOW_METAL = 71e-6;
const METAL_SERIAL = {
  launchSeconds: 2.05e-6,
  launchSource: 'serial dispatches seen from the GPU: penta2himajin/qwisp #143',
  slowLaunchSeconds: SLOW_METAL,
};

export const KNOWN_GPUS: readonly KnownGpu[] = [
  {
    name: 'Intel Arc graphics, Core Ultra 7 155H',
    bytesPerSecond: 119.5e9,
    flopsPerSecond: 4.6e12,
    memorySource: '128 bits of LPDDR5x-7467; 1024 lanes at 2.25 GHz',
    launchSeconds: 32e-6,
    launchSource: '17 dispatches to 5 in 24 layers took 19 to 23 tokens/s: microsoft/onnxruntime #27998',
    slowLaunchSeconds: SLOW_VULKAN,
  },
  {
    name: 'Apple M1, 8 cores',
    bytesPerSecond: 68.3e9,
    flopsPerSecond: 2.6e12,
    memorySource: '128 bits of LPDDR4X-4266',
    ...METAL_SERIAL,
  },
  {
    name: 'Apple M4 Max, 40 cores',
    bytesPerSecond: 546e9,
    flopsPerSecond: 18.4e12,
    memorySource: 'Apple',
    ...METAL_SERIAL,
  },
  {
    name: 'AMD Radeon RX 7900 XTX',
    bytesPerSecond: 960e9,
    flopsPerSecond: 61.4e12,
    memorySource: 'AMD',
    launchSeconds: 24e-6,
    launchSource: 'least of Vulkan: arXiv 2604.02344',
    slowLaunchSeconds: SLOW_VULKAN,
  },
  {
    name: 'NVIDIA GeForce RTX 5080',
    bytesPerSecond: 960e9,
    flopsPerSecond: 56.3e12,
    memorySource: 'NVIDIA',
    launchSeconds: 9e-6,
    launchSource: 'one dispatch a layer less took 128 to 133 tokens/s: microsoft/onnxruntime #26400',
    slowLaunchSeconds: SLOW_VULKAN,
  },
];
