/** The one place that opens a WebGPU device. */
import { DeviceCapability } from '../errors.ts';

export interface AdapterFacts {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  /** A software adapter (SwiftShader, lavapipe): correct, slow. */
  readonly isFallback: boolean;
}

/** Kernels shaped for a GPU, or for a CPU that plays one. */
export type KernelChoice = 'gpu' | 'software';

/**
 * In what the decode kernels multiply 4-bit and 8-bit weights with activations: see shaders/weights/products_*. All add up in f32, and all other weights
 * are multiplied in f32.
 */
export type Arithmetic = 'f32' | 'f16' | 'int8';

/** Of a subgroup's product of f16 matrices, added up in f32: M rows of one with N columns of the other, K values each. */
export interface MatrixUnit {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

export interface DeviceFacts {
  readonly adapter: AdapterFacts;
  /** By what the adapter is, unless `openDevice` was told otherwise. */
  readonly kernels: KernelChoice;
  readonly arithmetic: Arithmetic;
  readonly features: ReadonlySet<string>;
  /** What tiles are multiplied with in arithmetic f16; null where the adapter has none that fits them, or the browser hides it. */
  readonly matrices: MatrixUnit | null;
  readonly limits: Readonly<Record<LimitName, number>>;
}

const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupsPerDimension',
] as const;
export type LimitName = (typeof LIMITS)[number];

const FEATURES = ['shader-f16', 'subgroups', 'timestamp-query'] as const;
/** Behind a flag of the browser; asked for only where it would be used. */
const SUBGROUP_MATRIX = 'chromium-experimental-subgroup-matrix';

export interface OpenDeviceOptions {
  /** Where WebGPU comes from: `navigator.gpu` in a browser, Dawn's in Node. */
  readonly gpu?: GPU | undefined;
  readonly powerPreference?: GPUPowerPreference;
  /** Ask only for WebGPU's default limits and no optional feature; tests use it to prove that everything fits. */
  readonly defaultLimits?: boolean;
  /** Choose kernels as for a GPU, or as for a software adapter, whatever the adapter is; default: by what it is. */
  readonly kernels?: KernelChoice | undefined;
  /** Default f32. f16 needs `shader-f16`. */
  readonly arithmetic?: Arithmetic | undefined;
}

export interface OpenedDevice {
  readonly device: GPUDevice;
  readonly facts: DeviceFacts;
}

/** @throws DeviceCapability with a `reason` that a page can turn into advice */
export async function openDevice(options: OpenDeviceOptions = {}): Promise<OpenedDevice> {
  const scope = globalThis as { isSecureContext?: boolean; navigator?: { gpu?: GPU } };
  const gpu = options.gpu ?? scope.navigator?.gpu;
  if (!gpu) {
    if (scope.isSecureContext === false) {
      throw new DeviceCapability(
        'insecure-context',
        'WebGPU needs a secure page: open it over https or from localhost',
      );
    }
    throw new DeviceCapability('no-webgpu', 'This environment has no WebGPU (navigator.gpu is missing)');
  }
  const adapter = await gpu.requestAdapter({ powerPreference: options.powerPreference ?? 'high-performance' });
  if (!adapter) throw new DeviceCapability('no-adapter', 'WebGPU is present but offers no graphics adapter');
  const requiredLimits: Record<string, number> = {};
  const requiredFeatures: GPUFeatureName[] = [];
  if (!options.defaultLimits) {
    for (const name of LIMITS) requiredLimits[name] = adapter.limits[name];
    const wanted = options.arithmetic === 'f16' ? [...FEATURES, SUBGROUP_MATRIX] : FEATURES;
    for (const name of wanted) if (adapter.features.has(name)) requiredFeatures.push(name as GPUFeatureName);
  }
  const device = await adapter
    .requestDevice({ label: 'webmoe', requiredLimits, requiredFeatures })
    .catch((cause: unknown) => {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new DeviceCapability('no-adapter', `The graphics adapter gives no device: ${why}`, {}, { cause });
    });
  return { device, facts: factsOf(device, adapter.info, options) };
}

/** As the extension has it: https://github.com/gpuweb/gpuweb/blob/main/proposals/subgroup-matrix.md */
interface MatrixInfo {
  readonly subgroupMatrixConfigs?: Iterable<{
    readonly componentType: string;
    readonly resultComponentType: string;
    readonly M: number;
    readonly N: number;
    readonly K: number;
  }>;
  readonly subgroupMaxSize?: number;
}

/** Lanes of a tile's workgroup, the most f32 and f16 that it keeps (64 rows: shaders/linear/parts_matrices.wgsl), and what a unit must divide. */
const TILE = { lanes: 64, bytes: 64 * 72 * 4 + 2 * 64 * 40 * 2 + 3 * 64 * 4, m: 16, n: 64, k: 32 } as const;

/** The largest unit that fits the tiles of many tokens. */
function matrixUnit(device: GPUDevice, info: MatrixInfo | undefined): MatrixUnit | null {
  const size = info?.subgroupMaxSize ?? Infinity;
  const has = (name: string): boolean => (device.features as ReadonlySet<string>).has(name);
  const fits = TILE.lanes % size === 0 && device.limits.maxComputeWorkgroupStorageSize >= TILE.bytes;
  if (!fits || ![SUBGROUP_MATRIX, 'subgroups', 'shader-f16'].every(has)) return null;
  const units = [...(info?.subgroupMatrixConfigs ?? [])]
    .filter((c) => c.componentType === 'f16' && c.resultComponentType === 'f32')
    .filter((c) => TILE.m % c.M === 0 && TILE.n % c.N === 0 && TILE.k % c.K === 0)
    .map(({ M, N, K }) => ({ m: M, n: N, k: K }));
  return units.sort((a, b) => b.m * b.n * b.k - a.m * a.n * a.k)[0] ?? null;
}

function checkArithmetic(wish: Arithmetic, features: ReadonlySet<string>): void {
  if (wish === 'f16' && !features.has('shader-f16'))
    throw new DeviceCapability(
      'missing-feature',
      'The graphics adapter cannot compute in f16 (shader-f16): ask for arithmetic f32 or int8',
    );
}

/**
 * @param info of the adapter; implementations that do not tell it of a device are taken for hardware
 * @throws DeviceCapability when the device lacks the arithmetic that was asked for
 */
export function factsOf(
  device: GPUDevice,
  info: GPUAdapterInfo | undefined = device.adapterInfo as GPUAdapterInfo | undefined,
  { kernels, arithmetic = 'f32' }: Pick<OpenDeviceOptions, 'kernels' | 'arithmetic'> = {},
): DeviceFacts {
  const { vendor = '', architecture = '', description = '', isFallbackAdapter = false } = info ?? {};
  const isFallback = isFallbackAdapter || /swiftshader|llvmpipe|lavapipe/i.test(`${architecture} ${description}`);
  const features = new Set<string>(device.features as unknown as Iterable<string>);
  checkArithmetic(arithmetic, features);
  return Object.freeze({
    adapter: Object.freeze({ vendor, architecture, description, isFallback }),
    kernels: kernels ?? (isFallback ? 'software' : 'gpu'),
    arithmetic,
    features,
    matrices: matrixUnit(device, info),
    limits: Object.freeze(Object.fromEntries(LIMITS.map((name) => [name, device.limits[name]]))) as Record<
      LimitName,
      number
    >,
  });
}
