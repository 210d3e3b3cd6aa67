/** What browsers make of the hot kernels at the sizes of a published model: their compiler adds clamps and counters where it cannot prove bounds. */
import { describe, expect, it } from 'vitest';
import { kernelsOf } from '../../bench/kernels-of.mjs';
import { innerLoops } from '../../bench/spirv-loops.mjs';
import { spirvOf } from '../../bench/spirv.mjs';

const OLMOE = 'test/unit/config/published/olmoe-1b-7b-0924-instruct.json';
/** Clamped indices in one turn of the loop that has most: one for each place that is read, but not one for each of its values. */
const CLAMPS: Readonly<Record<string, number>> = {
  'linear/matvec': 3,
  'linear/matmul': 4,
  'moe/expert_up_decode': 5,
  'moe/expert_down_decode': 6,
  'moe/expert_up': 4,
  'moe/expert_down': 4,
};

const strided = (bound: string): { path: string; code: string } => ({
  path: 'test/strided',
  code: `
@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(64)
fn strided(@builtin(local_invocation_index) lane: u32) {
  var sum = 0u;
  for (var i = lane; i < ${bound}; i += 64u) { sum += out[i]; }
  out[lane] = sum;
}`,
});

describe('compiled kernels', () => {
  it('end their inner loops without counters, and clamp no more than was counted', async () => {
    const all = await kernelsOf(OLMOE, { weights: 'q4' });
    const hot = all.filter(({ path }) => path in CLAMPS);
    expect(new Set(hot.map(({ path }) => path))).toEqual(new Set(Object.keys(CLAMPS)));
    const found = spirvOf(hot).map((text, i) => ({ path: hot[i]!.path, loops: innerLoops(text) }));
    for (const { path, loops } of found) {
      expect(loops.length, path).toBeGreaterThan(0);
      expect(
        loops.filter(({ isGuarded }) => isGuarded),
        path,
      ).toEqual([]);
      expect(Math.max(...loops.map(({ clamps }) => clamps)), path).toBeLessThanOrEqual(CLAMPS[path]!);
    }
  });

  it('would show both', () => {
    const [text] = spirvOf([strided('arrayLength(&out)')]);
    expect(innerLoops(text!)).toEqual([{ isGuarded: true, clamps: 1 }]);
  });
});
