import { describe, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { outputGate } from '../../../src/kernels/attention/output_gate.ts';
import { outputGate as twin } from '../../../src/reference/attention/output_gate.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

interface Case {
  readonly name: string;
  readonly tokens: number;
  readonly size: number;
  readonly row: number;
  readonly at: number;
  readonly each: number;
  readonly by: 'sigmoid' | 'softplus';
  readonly spread: number;
}

const PLAIN = { at: 0, each: 1, by: 'sigmoid', spread: 2 } as const;
const cases: readonly Case[] = [
  { ...PLAIN, name: 'no_tokens', tokens: 0, size: 64, row: 64 },
  { ...PLAIN, name: 'one_value', tokens: 1, size: 1, row: 1 },
  { ...PLAIN, name: 'part_of_a_row', tokens: 5, size: 131, row: 200, at: 69 },
  { ...PLAIN, name: 'far_gates', tokens: 2, size: 70, row: 70, spread: 200 },
  { ...PLAIN, name: 'heads_by_softplus', tokens: 5, size: 132, row: 50, at: 9, each: 12, by: 'softplus' },
  { ...PLAIN, name: 'far_gates_by_softplus', tokens: 2, size: 70, row: 70, spread: 200, by: 'softplus' },
];

async function check({ name, tokens, spread, ...shape }: Case): Promise<void> {
  const { size, row, at, each } = shape;
  const gates = normals(1, tokens * row, spread).map((v, i) => (i % row < at || i % row >= at + size / each ? NaN : v));
  const attended = normals(2, tokens * size);
  const got = await runKernel(gpu, {
    inputs: { gates },
    outputs: { attended },
    step: { tokens, position: 0 },
    record: (r, v) => outputGate(r, name, { gates: v.gates!, attended: v.attended! }, shape),
  });
  // An exponential of 3 ulp and more for far arguments, where the gate is next to nothing.
  expectClose(asF32(got.attended!), twin(gates, attended, shape), 5e-6, name);
}

describe('attention/output_gate', () => {
  it.each(cases)('$name', check);
  it.each([
    ['starts at 0', 2, ' + GATE_AT', ''],
    ['reads rows of N', 2, 't * GATE_ROW', 't * N'],
    ['does not gate', 2, 'sigmoid(gate)', '1.0'],
    ['has a gate for every value', 4, 'i / GATE_EACH', 'min(i, 10u)'],
    ['takes the wrong function', 4, 'softplus(gate)', 'sigmoid(gate)'],
  ] as const)('notices a kernel that %s', async (_what, at, from, to) => {
    await expectMutantToFail(
      gpu,
      shaderText,
      'attention/output_gate',
      (s) => s.replace(from, to),
      () => check(cases[at]!),
    );
  });
});
