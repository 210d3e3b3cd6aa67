/** WebGPU in Node: Dawn from the npm package `webgpu`, on the machine's GPU or, without one, on Chromium's software adapter. */
import { existsSync, readdirSync } from 'node:fs';
import { constants, homedir } from 'node:os';
import { join } from 'node:path';
import { DeviceCapability } from '../errors.ts';

const CHROMIUM_FOLDERS = ['/usr/lib/chromium', '/usr/lib/chromium-browser', '/opt/google/chrome', '/opt/chromium'];

const SYSTEM_LOADERS = [
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib/aarch64-linux-gnu',
  '/usr/lib64',
  '/usr/lib',
  '/usr/local/lib',
].map((f) => join(f, 'libvulkan.so.1'));

const DRIVER_FOLDERS = [
  '/usr/share/vulkan/icd.d',
  '/usr/local/share/vulkan/icd.d',
  '/etc/vulkan/icd.d',
  join(homedir(), '.local/share/vulkan/icd.d'),
];

/** On Linux, asking Dawn where no driver is registered prints warnings that are nobody's fault. */
const mayHaveGpu = (): boolean =>
  process.platform !== 'linux' ||
  DRIVER_FOLDERS.some((folder) => existsSync(folder) && readdirSync(folder).some((f) => f.endsWith('.json')));

/** glibc: the library stays although Node closes it again. */
const RTLD_NODELETE = 0x1000;

/** Dawn crashes when its instance is collected while a device lives. */
const instances: GPU[] = [];

const softwareAdapter = (): string | undefined =>
  CHROMIUM_FOLDERS.map((f) => join(f, 'vk_swiftshader_icd.json')).find(existsSync);

/** Dawn loads the Vulkan loader by its bare name; where the system has none, Chromium's own copy answers to it once it is in the process. */
function preloadVulkan(): void {
  if (process.platform !== 'linux' || SYSTEM_LOADERS.some(existsSync)) return;
  const loader = CHROMIUM_FOLDERS.map((f) => join(f, 'libvulkan.so.1')).find(existsSync);
  if (!loader) return;
  try {
    process.dlopen({ exports: {} }, loader, constants.dlopen.RTLD_LAZY | RTLD_NODELETE);
  } catch {
    // "Module did not self-register": it is no Node addon, and it stays loaded all the same.
  }
}

export interface DawnOptions {
  /** Use Chromium's SwiftShader even where there is a GPU. */
  readonly software?: boolean;
  /** Dawn toggles, as in `enable-dawn-features=dump_shaders`. */
  readonly toggles?: readonly string[];
}

/** @throws DeviceCapability when the package is not installed or nothing offers an adapter */
export async function openDawn(options: DawnOptions = {}): Promise<GPU> {
  const dawn = await import('webgpu').catch((cause: unknown) => {
    throw new DeviceCapability(
      'no-webgpu',
      'WebGPU in Node needs the npm package "webgpu": npm install webgpu',
      {},
      { cause },
    );
  });
  Object.assign(globalThis, dawn.globals);
  process.env.XDG_RUNTIME_DIR ??= '/tmp';
  const create = (): GPU => {
    const gpu = dawn.create([...(options.toggles ?? [])]);
    instances.push(gpu);
    return gpu;
  };
  preloadVulkan();
  const chosen = Boolean(process.env.VK_ICD_FILENAMES ?? process.env.VK_DRIVER_FILES);
  if (chosen || (!options.software && mayHaveGpu())) {
    const gpu = create();
    if (chosen || (await gpu.requestAdapter())) return gpu;
  }
  const software = softwareAdapter();
  if (!software) {
    throw new DeviceCapability(
      'no-adapter',
      'No GPU was found, nor the software adapter that Chromium ships: install the package "chromium"',
    );
  }
  process.env.VK_ICD_FILENAMES = software;
  return create();
}

export interface OwnDawnOptions extends Pick<DawnOptions, 'software'> {
  /** Also what browsers hide behind a flag, subgroup matrices among it. */
  readonly unfinished?: boolean;
}

/**
 * Dawn for nothing but webmoe's kernels. They read no workgroup memory that they did not write, so it need not be zeroed first: on SwiftShader that
 * is half of the time that a model takes to load (docs/performance.md).
 */
export function openOwnDawn({ unfinished = false, ...options }: OwnDawnOptions = {}): Promise<GPU> {
  const features = ['disable_workgroup_init', ...(unfinished ? ['allow_unsafe_apis'] : [])];
  return openDawn({ ...options, toggles: [`enable-dawn-features=${features.join()}`] });
}
