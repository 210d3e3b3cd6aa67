import { describe, expect, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { routerState } from '../../../src/kernels/moe/router_state.ts';
import { erf } from '../../../src/reference/gelu.ts';
import { routerState as twin } from '../../../src/reference/moe/router_state.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });
const EPS = 1e-5;

interface Case {
  readonly name: string;
  readonly tokens: number;
  readonly size: number;
  /** Words from the states of the layer before to its own. */
  readonly ownAt: number;
  readonly isFirst?: boolean;
}

const cases: readonly Case[] = [
  { name: 'no_tokens', tokens: 0, size: 8, ownAt: 0 },
  { name: 'one_value', tokens: 2, size: 1, ownAt: 2 },
  { name: 'of_the_first_layer', tokens: 3, size: 24, ownAt: 0, isFirst: true },
  { name: 'in_place', tokens: 5, size: 37, ownAt: 0 },
  { name: 'beside', tokens: 1, size: 70, ownAt: 128 },
  { name: 'more_than_a_workgroup', tokens: 2, size: 300, ownAt: 640 },
];

async function check({ name, tokens, size, ownAt, isFirst = false }: Case): Promise<void> {
  const down = normals(1, tokens * size);
  const layer = (seed: number): ReturnType<typeof normals> => normals(seed, size * size, 1.5 / Math.sqrt(size));
  const parts = [normals(2, size), normals(3, size), normals(4, size, 0.2, 1)];
  parts.push(layer(5), normals(6, size, 0.3), layer(7), normals(8, size, 0.3));
  const vectors = Float32Array.from(parts.flatMap((part) => [...part]));
  const states = normals(9, ownAt + tokens * size);
  const got = await runKernel(gpu, {
    inputs: { down, vectors },
    outputs: { states, out: tokens * size },
    step: { tokens, position: 3 },
    record: (r, v) => {
      const io = { down: v.down!, vectors: v.vectors!, states: { view: v.states!, ownAt, isFirst }, out: v.out! };
      routerState(r, name, io, { size, eps: EPS });
    },
  });
  const expected = twin({ down, vectors, before: isFirst ? null : states }, { tokens, size, eps: EPS });
  const after = Float64Array.from(states);
  after.set(expected.states, ownAt);
  expectClose(asF32(got.states!), after, 1e-6, `${name} states`); // a product and two sums
  // Two sums of up to 300 products, each behind an erf that is 1.5e-7 off.
  expectClose(asF32(got.out!), expected.out, 1e-5, `${name} out`);
}

it('erf, in doubles', () => {
  // Abramowitz and Stegun, table 7.1.
  expect(erf(0.5)).toBeCloseTo(0.5204998778, 10);
  expect(erf(1.5)).toBeCloseTo(0.9661051465, 10);
  expect(erf(-2)).toBeCloseTo(-0.995322265, 10);
  expect(1 - erf(3.01)).toBeCloseTo(2.073896e-5, 10);
});

describe('moe/router_state', () => {
  it.each(cases)('$name', check);

  it.each([
    ['forgets the bias', 'down[t * R + r] + vectors[r]', 'down[t * R + r]', 'in_place'],
    ['forgets the state before', 's += vectors[R + r] * states[t * R + r]', 's += 0.0', 'in_place'],
    ['writes over the state before', 'states[OWN_AT + t * R + r]', 'states[t * R + r]', 'beside'],
    ['forgets epsilon and the norm', 'scale * vectors[2u * R + r]', 'vectors[2u * R + r]', 'beside'],
    ['takes the first layer twice', 'layer(SECOND_AT, lane)', 'layer(FIRST_AT, lane)', 'in_place'],
    ['reads weights by output', 'vectors[at + k * R + r]', 'vectors[at + r * R + k]', 'in_place'],
    ['forgets gelu', 'own[i] = gelu(sum)', 'own[i] = sum', 'in_place'],
    ['takes the sigmoid for it', '0.70710678', '0.9', 'in_place', 'shared/gelu'],
  ])('notices a kernel that %s', async (_what, from, to, name, shader = 'moe/router_state') => {
    await expectMutantToFail(
      gpu,
      shaderText,
      shader,
      (text) => text.replace(from, to),
      () => check(cases.find((c) => c.name === name)!),
    );
  });
});
