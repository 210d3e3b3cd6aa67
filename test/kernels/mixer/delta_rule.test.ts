import { describe, expect, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { deltaRule, deltaState, type DeltaRuleShape } from '../../../src/kernels/mixer/delta_rule.ts';
import { deltaRule as twin } from '../../../src/reference/mixer/delta_rule.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { thinned } from '../../support/everyday.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

interface Case extends DeltaRuleShape {
  name: string;
  tokens: number;
  position?: number;
  side?: 0 | 1;
}

const cases: Case[] = [
  { name: 'no_tokens', tokens: 0, heads: 2, keyHeads: 1, keySize: 4, valueSize: 4 },
  { name: 'one_of_everything', tokens: 1, heads: 1, keyHeads: 1, keySize: 1, valueSize: 1 },
  { name: 'from_nothing', tokens: 6, heads: 4, keyHeads: 2, keySize: 16, valueSize: 8 },
  { name: 'one_token_after_others', tokens: 1, position: 5, heads: 4, keyHeads: 4, keySize: 24, valueSize: 3 },
  { name: 'many_tokens', tokens: 19, position: 3, side: 1, heads: 6, keyHeads: 2, keySize: 17, valueSize: 7 },
  { name: 'a_published_head', tokens: 2, position: 1, heads: 2, keyHeads: 1, keySize: 128, valueSize: 128 },
];

async function check({ name, tokens, position = 0, side = 0, ...shape }: Case): Promise<void> {
  const { heads, keyHeads, keySize, valueSize } = shape;
  const places = { vRow: heads * valueSize + 5, vAt: 5, gateRow: 2 * heads + 3, bAt: 1, aAt: heads + 2 };
  const inputs = {
    // Of unit length, as the model's norm leaves them: longer keys make the recurrence explode.
    qk: normals(1, tokens * 2 * keyHeads * keySize, keySize ** -0.5),
    v: normals(2, tokens * places.vRow),
    gates: normals(3, tokens * places.gateRow),
    weights: normals(4, 2 * heads, 0.5),
  };
  const state = normals(5, deltaState(shape));
  const got = await runKernel(gpu, {
    inputs,
    outputs: { state, out: tokens * heads * valueSize },
    step: { tokens, position, side },
    record: (r, { qk, v, gates, weights, state: s, out }) =>
      deltaRule(
        r,
        name,
        {
          qk: qk!,
          v: { view: v!, row: places.vRow, at: places.vAt },
          a: { view: gates!, row: places.gateRow, at: places.aAt },
          bAt: places.bAt,
          weights: weights!,
          state: s!,
          out: out!,
        },
        shape,
      ),
  });
  const expected = twin({ ...inputs, state }, { ...shape, ...places, tokens, position, side });
  // Sums of at most 128 terms, exp and log of 3 ulp, carried on over at most 19 tokens that fade: some 1e-6.
  expectClose(asF32(got.out!), expected.out, 1e-5, `${name} out`);
  expectClose(asF32(got.state!), expected.state, 1e-5, `${name} state`);
}

describe('mixer/delta_rule', () => {
  it.each(thinned(cases, 3))('$name', check);

  it('refuses heads that do not divide', async () => {
    const odd = { name: 'odd', tokens: 1, heads: 3, keyHeads: 2, keySize: 4, valueSize: 4 };
    await expect(check(odd)).rejects.toThrow('do not divide');
  });

  it.each([
    ['starts from a state at position 0', 'if (u_step.position > 0u)', 'if (true)', 'from_nothing'],
    ['writes the side that it reads', '((1u - u_step.side) * CHANNELS', '(u_step.side * CHANNELS', 'many_tokens'],
    ['always reads the first side', '(u_step.side * CHANNELS + channel)', '(channel)', 'many_tokens'],
    ['takes what is known for new', ' - all.x)', ')', 'many_tokens'],
    ['answers from the state before', 'all.y + delta * all.z', 'all.y', 'one_token_after_others'],
    ['forgets to fade', 's[i] *= fade;', '', 'one_token_after_others'],
    ['reads the first key head', '(h / (HEADS / KEY_HEADS)) * KEY_SIZE', '0u', 'from_nothing'],
    ['forgets the bias', ' + bias)', ')', 'many_tokens'],
    ['writes all that differs', ' * sigmoid(gates[t * GATE_ROW + B_AT + h])', '', 'from_nothing'],
  ])('notices a kernel that %s', async (_what, from, to, name) => {
    await expectMutantToFail(
      gpu,
      shaderText,
      'mixer/delta_rule',
      (text) => text.replace(from, to),
      async () => check(cases.find((c) => c.name === name)!),
    );
  });
});
