import { expect, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { gluTriples, productsOf, triplesRoom } from '../../../src/kernels/linear/glu_triples.ts';
import { gluTriples as twin } from '../../../src/reference/linear/glu_triples.ts';
import { asF32, expectClose, expectMutantToFail, POISON, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

type Case = readonly [tokens: number, rows: number, width: number];
const cases: readonly Case[] = [
  [0, 1, 64],
  [1, 1, 1],
  [3, 2, 131],
];

async function check([tokens, rows, width]: Case): Promise<void> {
  const products = normals(3, tokens * rows * 3 * width, 2);
  const got = await runKernel(gpu, {
    inputs: { products },
    outputs: { values: triplesRoom(tokens * rows * width + 1) },
    step: { tokens, position: 0 },
    record: (r, { values, products: from }) => {
      const to = productsOf(values!);
      r.copy('products', () => ({ from: from!, to, bytes: 4 * products.length }));
      gluTriples(r, 'triples', { values: values! }, { width, rows });
    },
  });
  const count = tokens * rows * width;
  const values = asF32(got.values!);
  expectClose(values.subarray(0, count), twin(products, width), 5e-6, 'triples');
  expect(got.values![count]).toBe(POISON);
}

it.each(cases)('linear/glu_triples: %i tokens of %i rows of %i', (...c) => check(c));

it.each([
  ['takes first for gate', 'let gate = values[first + F]', 'let gate = values[first]'],
  ['reads the first row', 'AT + row * 3u * F', 'AT'],
  ['forgets up', ' * values[first + 2u * F]', ''],
  ['writes behind the rows', 'if (f >= F) { return; }', ''],
])('linear/glu_triples: notices a kernel that %s', (_what, from, to) =>
  expectMutantToFail(
    gpu,
    shaderText,
    'linear/glu_triples',
    (s) => s.replace(from, to),
    () => check(cases[2]!),
  ),
);
