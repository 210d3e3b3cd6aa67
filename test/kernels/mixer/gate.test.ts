import { describe, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { gate } from '../../../src/kernels/mixer/gate.ts';
import { gate as twin } from '../../../src/reference/mixer/gate.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { thinned } from '../../support/everyday.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

interface Case {
  name: string;
  tokens: number;
  size: number;
  row?: number;
  at?: number;
  silu?: boolean;
  scale?: number;
}

const cases: Case[] = [
  { name: 'no_tokens', tokens: 0, size: 4 },
  { name: 'one_value', tokens: 1, size: 1 },
  { name: 'odd_sizes', tokens: 3, size: 67, silu: true },
  { name: 'inside_a_longer_row', tokens: 4, size: 64, row: 90, at: 7 },
  { name: 'large_gates', tokens: 2, size: 64, silu: true, scale: 200 },
];

async function check({ name, tokens, size, row = size, at = 0, silu = false, scale = 1 }: Case): Promise<void> {
  const gates = normals(1, tokens * row, scale);
  const x = normals(2, tokens * size);
  const got = await runKernel(gpu, {
    inputs: { gates },
    outputs: { x },
    step: { tokens, position: 0 },
    record: (r, v) => gate(r, name, { x: v.x!, gate: { view: v.gates!, row, at } }, { size, silu }),
  });
  // One exponential of 3 ulp, a division and two products.
  expectClose(asF32(got.x!), twin(x, gates, { tokens, size, row, at, silu }), 2e-6, name);
}

describe('mixer/gate', () => {
  it.each(thinned(cases, 3))('$name', check);

  it.each([
    ['forgets silu', 'factor *= g;', '', 'odd_sizes'],
    ['reads the start of the row', 'GATE_AT + i', 'i', 'inside_a_longer_row'],
    ['gates the first block only', '(id % BLOCKS) * WG', '0u * WG', 'odd_sizes'],
  ])('notices a kernel that %s', async (_what, from, to, name) => {
    await expectMutantToFail(
      gpu,
      shaderText,
      'mixer/gate',
      (text) => text.replace(from, to),
      async () => check(cases.find((c) => c.name === name)!),
    );
  });
});
