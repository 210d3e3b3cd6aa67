/** A device for models. Apart from `Gpu`, so that what brings other shaders does not carry these. */
import type { OpenDeviceOptions } from './device.ts';
import { Gpu } from './gpu.ts';
import { shaderText } from './shaders.gen.ts';

/** @throws as `openDevice` */
export const openGpu = (options: OpenDeviceOptions = {}): Promise<Gpu> => Gpu.open(shaderText, options);
