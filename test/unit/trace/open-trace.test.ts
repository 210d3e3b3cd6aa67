/** Files of every kind that opens, and files of none. */
import { readFileSync } from 'node:fs';
import { zipSync } from 'fflate';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidTrace } from '../../../src/errors.ts';
import { encodeNpy } from '../../../src/trace/npy.ts';
import { writeTrace } from '../../../src/trace/npz.ts';
import { openTrace } from '../../../src/trace/open-trace.ts';
import { richTrace } from '../../support/traces.ts';

const utf8 = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>;
const json = (value: unknown): Uint8Array<ArrayBuffer> => utf8(JSON.stringify(value));

/** [3 tokens, 2 layers, K 2] of a model with 8 experts. */
const IDS = [7, 1, 0, 3, 2, 4, 1, 5, 6, 0, 2, 3];
const SHAPE = [3, 2, 2];
const LISTS = [0, 4, 8].map((t) => [0, 2].map((l) => IDS.slice(t + l, t + l + 2)));
const npy = (data: Int16Array | Uint8Array | Uint16Array | Int32Array = Int16Array.from(IDS)): Uint8Array =>
  encodeNpy(data, SHAPE);
const base64 = Buffer.from(npy(Uint8Array.from(IDS))).toString('base64');
const ROUTE = readFileSync('test/fixtures/traces/small.route.csv');
const LLAMA = utf8('0,1\n0,0\n3,2\n3,4\n0,3\n0,1\n3,0\n3,1\n');

const KINDS: readonly (readonly [string, Uint8Array])[] = [
  ['our own', writeTrace(richTrace)],
  ['nested lists', json(LISTS)],
  ['a response with lists', json({ model: 'some/model', choices: [{ routed_experts: LISTS }] })],
  [
    'a response with text',
    json({ model: 'm', usage: { prompt_tokens: 2 }, choices: [{ routed_experts: base64, token_ids: [5, 6] }] }),
  ],
  ['a .npy of int16', npy()],
  ['a .npy of uint8', npy(Uint8Array.from(IDS))],
  ['a .npy of uint16', npy(Uint16Array.from(IDS))],
  ['a .npy of int32', npy(Int32Array.from(IDS))],
  ['a .npy of int64', encodeNpy(Int32Array.from(IDS), SHAPE, 'i8')],
  ['a .npz with one array', zipSync({ 'arr_0.npy': npy() })],
  ['a .npz with names', zipSync({ 'routed_experts.npy': npy(), 'other.npy': new Uint8Array(3) })],
  ['a route.csv', ROUTE],
  ['lines of llama.cpp', LLAMA],
];

describe('openTrace', () => {
  it.each(KINDS)('opens %s', (what, bytes) => {
    const trace = openTrace(bytes, 'file');
    expect(trace.steps.length).toBeGreaterThan(1);
    expect(trace.provenance?.kind).toBe('recorded');
    if (what !== 'our own') expect(trace.provenance?.note).toMatch(/from file$/);
  });

  it.each(KINDS.filter(([what]) => /npy|npz|lists|text/.test(what)))('finds the same experts in %s', (_, bytes) => {
    const trace = openTrace(bytes, 'file.npy');
    expect([...trace.ids]).toEqual(IDS);
    expect(trace.model).toMatchObject({ layers: 2, experts: 8, topK: 2 });
    expect(trace.weights).toBeNull();
  });

  it('splits prompt and answer, and knows what is the router’s', () => {
    const asText = openTrace(KINDS[3]![1], 'x.json');
    expect(asText.steps.map((s) => [s.phase, s.tokens])).toEqual([
      ['prefill', 2],
      ['decode', 1],
    ]);
    expect([...asText.tokens!]).toEqual([-1, -1, 5]);
    const weights = LISTS.map((t) => t.map((l) => l.map(() => 0.25)));
    const trace = openTrace(json({ model: 'm', choices: [{ routed_experts: LISTS, router_weights: weights }] }));
    expect(trace.weights!.every((w) => w === 0.25)).toBe(true);
    expect(trace.model.name).toBe('m');
    expect(openTrace(npy(), 'run.npy').model.name).toBe('run');
  });

  it('names stay text', () => {
    const name = '<img src=x onerror=alert(1)>';
    expect(openTrace(json({ model: name, choices: [{ routed_experts: LISTS }] })).model.name).toBe(name);
    expect(() => openTrace(json({ model: name.repeat(99), choices: [{ routed_experts: LISTS }] }))).toThrow(/name/);
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['nothing', new Uint8Array(), /is no trace\. webmoe reads a \.npz that webmoe wrote; /],
    ['a picture', Uint8Array.of(0x89, 0x50, 0x4e, 0x47), /is no trace/],
    ['a text', utf8('hello'), /is no trace/],
    ['another JSON', json({ a: 1 }), /routed_experts/],
    ['JSON cut short', json(LISTS).slice(0, -2), /not JSON/],
    ['JSON that is deep', utf8('['.repeat(200_000)), /not JSON|one size/],
    ['a flat array', encodeNpy(Int16Array.from(IDS), [12]), /three axes/],
    ['floats that are no ids', encodeNpy(Float32Array.of(0.5, 1), [1, 1, 2]), /expert 0\.5/],
    ['an id too large', encodeNpy(Int32Array.of(40_000, 1), [1, 1, 2]), /expert 40000/],
    ['an empty array', encodeNpy(new Int16Array(0), [0, 2, 0]), /no MoE model/],
    ['text that is no base64', json({ choices: [{ routed_experts: '***' }] }), /base64/],
    ['text that is no array', json({ choices: [{ routed_experts: 'AAAA' }] }), /no \.npy/],
    ['a zip of other things', zipSync({ 'a.txt': utf8('x'), 'b.txt': utf8('y') }), /neither meta nor routed_experts/],
    ['a route.csv of another version', utf8('# route_trace v9\n'), /version 1/],
    [
      'a route.csv that claims too much',
      utf8(ROUTE.toString().replace('n_expert_used=2', 'n_expert_used=99999999999')),
      /more than webmoe opens/,
    ],
    ['a number of no line', utf8('1,2\nx\n'), /no line layer,expert/],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => openTrace(bytes, 'file')).toThrow(InvalidTrace);
    expect(() => openTrace(bytes, 'file')).toThrow(message);
  });

  it('damage of any kind is a trace or InvalidTrace, and takes no time', () => {
    const damage = fc.record({
      kind: fc.nat(KINDS.length - 1),
      cut: fc.double({ min: 0, max: 1, noNaN: true }),
      bytes: fc.array(fc.record({ at: fc.double({ min: 0, max: 0.999, noNaN: true }), to: fc.nat(255) }), {
        maxLength: 6,
      }),
    });
    fc.assert(
      fc.property(damage, ({ kind, cut, bytes }) => {
        const whole = KINDS[kind]![1];
        const file = whole.slice(0, cut > 0.5 ? whole.length : Math.floor(cut * 2 * whole.length));
        for (const { at, to } of bytes) if (file.length > 0) file[Math.floor(at * file.length)] = to;
        opens(file);
      }),
      { numRuns: 2000 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), opens), { numRuns: 500 });
    const lines = fc.array(fc.tuple(fc.nat(9), fc.nat(9)), { maxLength: 60 });
    fc.assert(
      fc.property(lines, (rows) => opens(utf8(rows.map((r) => `${r.join(',')}\n`).join('')))),
      { numRuns: 500 },
    );
  });
});

function opens(file: Uint8Array): void {
  try {
    openTrace(file, 'file');
  } catch (error) {
    if (!(error instanceof InvalidTrace)) throw error;
  }
}
