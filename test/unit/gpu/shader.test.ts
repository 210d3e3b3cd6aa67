import { expect, it } from 'vitest';
import { expandShader } from '../../../src/gpu/shader.ts';

const sources = {
  'a/matrix': [
    'override N: u32;',
    '#if BIG',
    'const ROW: u32 = N * 2u;',
    '#else',
    'const ROW: u32 = N;',
    '#endif',
    '#import part',
    'fn weight(i: u32) -> u32 { return values[i * ROW].N + word(i) + half(i); }',
  ].join('\n'),
  'a/half': 'fn half(i: u32) -> u32 { return i / 2u; }',
  'a/twice': [
    '#import a/matrix',
    '#import a/matrix as b_',
    '@group(0) @binding(0) var<storage, read> values: array<u32>;',
    '@group(0) @binding(1) var<storage, read> b_values: array<u32>;',
    'fn word(i: u32) -> u32 { return i; }',
    'fn twice(i: u32) -> u32 { return weight(i) + b_weight(i); }',
  ].join('\n'),
};
const constants = { N: 3, BIG: false, b_N: 5, b_BIG: true };
const imports = { part: 'a/half', b_part: 'a/half' };

it('imports a second time under other names, for other constants', () => {
  const { code, bindings, origin } = expandShader('a/twice', constants, imports, sources);
  const lines = code.split('\n');
  expect(lines).toContain('const ROW: u32 = N;');
  expect(lines).toContain('const b_N: u32 = 5u;');
  expect(lines).toContain('const b_ROW: u32 = b_N * 2u;');
  // Its own names, and the binding that the importer declares for it; neither members nor what both share.
  expect(lines).toContain('fn b_weight(i: u32) -> u32 { return b_values[i * b_ROW].N + word(i) + b_half(i); }');
  expect(lines).toContain('fn weight(i: u32) -> u32 { return values[i * ROW].N + word(i) + half(i); }');
  expect(bindings.map(({ name }) => name)).toEqual(['values', 'b_values']);
  expect(origin[lines.indexOf('const b_ROW: u32 = b_N * 2u;')]).toMatchObject({ file: 'a/matrix', line: 3 });
});

it('refuses what is missing or not used under either name', () => {
  const expand = (more: object, less: object = imports) =>
    expandShader('a/twice', { ...constants, ...more } as never, less as never, sources);
  expect(() => expand({ b_N: undefined })).toThrow('b_N');
  expect(() => expand({ b_BIG: 1 })).toThrow('b_BIG');
  expect(() => expand({ c_N: 1 })).toThrow('c_N');
  expect(() => expand({}, { part: 'a/half' })).toThrow('no shader shaders/part');
  const nested = { ...sources, 'a/nested': '#import a/half as c_' };
  expect(() => expandShader('a/twice', constants, { ...imports, b_part: 'a/nested' }, nested)).toThrow('inside b_');
});
