import type { RopeConfig } from '../config/model-config.ts';
import { bf16ToF32, f32ToBf16 } from '../util/half.ts';

/**
 * What a rotation needs, computed in doubles because WGSL's sin and cos are only accurate near zero.
 * @param positions how many, from 0
 * @returns [positions, 2, pairs]: cos, then sin, of position * inverseFrequencies[pair], times the amplitude
 */
export function ropeTable(rope: RopeConfig, positions: number): Float32Array<ArrayBuffer> {
  const { inverseFrequencies, amplitude } = rope;
  const pairs = inverseFrequencies.length;
  const near = rope.rounded ? (value: number): number => bf16ToF32(f32ToBf16(value)) : (value: number): number => value;
  const table = new Float32Array(positions * 2 * pairs);
  for (let p = 0; p < positions; p++) {
    for (let j = 0; j < pairs; j++) {
      const angle = near(near(p) * near(inverseFrequencies[j]!));
      table[(2 * p + 0) * pairs + j] = near(Math.cos(angle)) * amplitude;
      table[(2 * p + 1) * pairs + j] = near(Math.sin(angle)) * amplitude;
    }
  }
  return table;
}
