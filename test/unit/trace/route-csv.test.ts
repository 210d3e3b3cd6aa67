import { expect, it, test } from 'vitest';
import { InvalidTrace } from '../../../src/errors.ts';
import { readRouteCsv } from '../../../src/trace/route-csv.ts';
import { ABSENT } from '../../../src/trace/trace.ts';

const HEADER = [
  '# route_trace v1',
  '# model=Some-Model-Q4.gguf arch=x n_layer=2 n_expert=4 n_expert_used=2',
  '# layer=0 expert_bytes=100 dense_bytes=5',
  '# layer=1 expert_bytes=90 dense_bytes=5',
  'turn,phase,step,layer,slot,expert,weight,residency,expert_bytes',
];
const ROWS = [
  '0,0,0,0,0,3,0.75,0,100',
  '0,0,0,0,1,1,0.25,0,100',
  '0,0,1,0,0,2,0.5,1,0',
  '0,0,1,0,1,3,0.5,1,0',
  '0,0,1,1,0,0,1,0,90',
  '0,0,1,1,1,2,0,0,90',
  '0,1,0,0,0,1,0.5,0,100',
  '0,1,0,0,1,0,0.5,0,100',
  '0,1,0,1,0,0,0.5,0,90',
  '0,1,0,1,1,3,0.5,0,90',
];
const file = (rows = ROWS, header = HEADER): string => [...header, ...rows, ''].join('\n');

test('a prompt is one step; a last layer that ran for its last token only is absent before', () => {
  const trace = readRouteCsv(file());
  expect(trace.model).toEqual({ name: 'Some-Model-Q4', layers: 2, experts: 4, topK: 2, expertBytes: [100, 90] });
  expect(trace.steps).toEqual([
    { phase: 'prefill', chat: 0, position: 0, tokens: 2 },
    { phase: 'decode', chat: 0, position: 2, tokens: 1 },
  ]);
  expect([...trace.ids]).toEqual([3, 1, ABSENT, ABSENT, 2, 3, 0, 2, 1, 0, 0, 3]);
  expect(trace.weights![1]).toBe(0.25);
  expect([...trace.origins!.subarray(0, 6)]).toEqual([4, 4, 0, 0, 1, 1]);
});

it.each<[string, string, RegExp]>([
  ['another format', 'a,b\n1,2', /no route trace of version 1/],
  ['another version', file(ROWS, ['# route_trace v2', ...HEADER.slice(1)]), /version 1/],
  ['no model', file(ROWS, [HEADER[0]!, ...HEADER.slice(2)]), /has no model/],
  ['a layer without experts', file(ROWS, [...HEADER.slice(0, 2), ...HEADER.slice(3)]), /not all MoE layers/],
  ['a short row', file([...ROWS, '0,1,1,0,0,1']), /trace:16: is no row/],
  ['words', file([...ROWS, '0,1,1,0,0,one,0.5,0,100']), /is no row/],
  ['half an expert', file([...ROWS, '0,1,1,0,0,1.5,0.5,0,100']), /is no row/],
  ['a third phase', file([...ROWS, '0,2,1,0,0,1,0.5,0,100']), /is no row/],
  ['an expert that does not exist', file([...ROWS.slice(0, -1), '0,1,0,1,1,4,0.5,0,90']), /expert 4 of 4/],
  ['a layer that does not exist', file([...ROWS, '0,1,1,2,0,1,0.5,0,100']), /outside the model/],
  ['a slot twice', file([...ROWS, ROWS[0]!]), /twice/],
  ['an expert twice', file([...ROWS.slice(0, -1), '0,1,0,1,1,0,0.5,0,90']), /expert 0 twice/],
])('refuses %s', (_, text, message) => {
  expect(() => readRouteCsv(text)).toThrow(InvalidTrace);
  expect(() => readRouteCsv(text)).toThrow(message);
});
