import type { Kernel } from './kernels-of.mjs';

export function spirvOf(shaders: readonly Kernel[]): string[];
