/** What published scales have in common: their types, and how many weights share one. */
import { UnsupportedModel } from '../../errors.ts';
import type { TensorInfo } from '../checkpoint.ts';
import { CHUNK, type ScaleType } from '../layout.ts';
import { expectDType } from './format.ts';

/** @throws InvalidCheckpoint `unsupported-dtype` */
export function scaleType(info: TensorInfo): ScaleType {
  expectDType(info, 'F32', 'F16', 'BF16');
  return info.dtype === 'F32' ? 'f32' : info.dtype === 'F16' ? 'f16' : 'bf16';
}

/** Whether a native layout has groups of this size: see layout.ts. */
export const isNativeGroup = (group: number, cols: number): boolean => group >= cols || group % CHUNK === 0;

/**
 * @param group as published; null for a scale a row
 * @throws UnsupportedModel for a size that no native layout has
 */
export function nativeGroup(group: number | null, cols: number, name: string): number {
  if (group === null || group >= cols) return cols;
  if (group % CHUNK === 0) return group;
  throw new UnsupportedModel(`${name} has groups of ${group} weights; webmoe runs multiples of ${CHUNK}`, {
    tensor: name,
    group,
  });
}

/** Bytes of tensors, as the checkpoint stores them. */
export const bytesIn = (...infos: readonly (TensorInfo | null)[]): number =>
  infos.reduce((n, info) => n + (info ? info.end - info.begin : 0), 0);
