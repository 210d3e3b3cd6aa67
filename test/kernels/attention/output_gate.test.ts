import { describe, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { outputGate } from '../../../src/kernels/attention/output_gate.ts';
import { outputGate as twin } from '../../../src/reference/attention/output_gate.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

const cases = [
  { name: 'no_tokens', tokens: 0, size: 64, row: 64, at: 0 },
  { name: 'one_value', tokens: 1, size: 1, row: 1, at: 0 },
  { name: 'part_of_a_row', tokens: 5, size: 131, row: 200, at: 69 },
  { name: 'far_gates', tokens: 2, size: 70, row: 70, at: 0, spread: 200 },
];

async function check({
  name,
  tokens,
  size,
  row,
  at,
  spread = 2,
}: (typeof cases)[number] & { spread?: number }): Promise<void> {
  const gates = normals(1, tokens * row, spread).map((v, i) => (i % row < at || i % row >= at + size ? NaN : v));
  const attended = normals(2, tokens * size);
  const got = await runKernel(gpu, {
    inputs: { gates },
    outputs: { attended },
    step: { tokens, position: 0 },
    record: (r, v) => outputGate(r, name, { gates: v.gates!, attended: v.attended! }, { size, row, at }),
  });
  // An exponential of 3 ulp and more for far arguments, where the gate is next to nothing.
  expectClose(asF32(got.attended!), twin(gates, attended, { size, row, at }), 5e-6, name);
}

describe('attention/output_gate', () => {
  it.each(cases)('$name', check);
  it.each([
    ['starts at 0', ' + GATE_AT', ''],
    ['reads rows of N', 't * GATE_ROW', 't * N'],
    ['does not gate', 'sigmoid(gates[t * GATE_ROW + GATE_AT + i])', '1.0'],
  ])('notices a kernel that %s', async (_what, from, to) => {
    await expectMutantToFail(
      gpu,
      shaderText,
      'attention/output_gate',
      (s) => s.replace(from, to),
      () => check(cases[2]!),
    );
  });
});
