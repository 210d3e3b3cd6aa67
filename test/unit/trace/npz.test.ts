import { unzipSync, zipSync } from 'fflate';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidTrace } from '../../../src/errors.ts';
import { decodeNpy, encodeNpy, type NpyData } from '../../../src/trace/npy.ts';
import { readTrace, writeTrace } from '../../../src/trace/npz.ts';
import { joinTraces } from '../../../src/trace/join-traces.ts';
import { ABSENT, ORIGINS, type Trace } from '../../../src/trace/trace.ts';
import { prng } from '../../../src/util/prng.ts';
import { anyTrace, cyclicTrace, loadTrace, PUBLIC_TRACES } from '../../support/traces.ts';

const small = {
  ...cyclicTrace(2, 2, 2, 3),
  weights: Float32Array.from({ length: 12 }, (_, i) => i / 16),
  origins: Uint8Array.from({ length: 12 }, (_, i) => i % ORIGINS.length),
} satisfies Trace;

/** The archive with one member replaced; null drops it. */
function withMember(name: string, bytes: Uint8Array<ArrayBuffer> | null): Uint8Array {
  const { [`${name}.npy`]: before, ...others } = unzipSync(writeTrace(small));
  if (!before) throw new Error(`there is no ${name}`);
  return zipSync(bytes ? { ...others, [`${name}.npy`]: bytes } : others);
}
const meta = (change: (json: Record<string, unknown>) => unknown): Uint8Array => {
  const { data } = decodeNpy(unzipSync(writeTrace(small))['meta.npy']!, 'meta');
  const json = JSON.parse(new TextDecoder().decode(Uint8Array.from(data))) as Record<string, unknown>;
  const text = new TextEncoder().encode(JSON.stringify(change(json)));
  return withMember('meta', encodeNpy(text, [text.length]));
};

describe('npy', () => {
  it.each<[string, NpyData, string]>([
    ['u1', Uint8Array.of(0, 255, 7, 1, 2, 3), '|u1'],
    ['u2', Uint16Array.of(0, 65535, 7, 1, 2, 3), '<u2'],
    ['u4', Uint32Array.of(0, 2 ** 32 - 1, 7, 1, 2, 3), '<u4'],
    ['i4', Int32Array.of(0, -1, 7, 1, 2, 3), '<i4'],
    ['f4', Float32Array.of(0, 0.1, 7, 1, 2, 3), '<f4'],
  ])('%s comes back, behind the header that numpy writes', (type, data, descr) => {
    const bytes = encodeNpy(data, [2, 3]);
    const header = String.fromCharCode(...bytes.subarray(0, 128));
    expect(header.slice(1, 6)).toBe('NUMPY');
    expect(header.slice(10)).toMatch(/^\{'descr': '.*', 'fortran_order': False, 'shape': \(2, 3\), \} *\n$/);
    expect(header).toContain(`'${descr}'`);
    expect(decodeNpy(bytes, 'x')).toEqual({ type, shape: [2, 3], data });
  });
  it('f2 rounds to half', () => {
    const bytes = encodeNpy(Float32Array.of(0.1, 1), [2], 'f2');
    expect(bytes.length).toBe(128 + 4);
    expect([...decodeNpy(bytes, 'x').data]).toEqual([0.0999755859375, 1]);
  });
  it.each<[string, (b: Uint8Array) => Uint8Array, RegExp]>([
    ['nothing', () => new Uint8Array(0), /no \.npy/],
    ['another magic', (b) => b.fill(0, 0, 1), /no \.npy/],
    ['a header beyond the end', (b) => b.fill(255, 8, 10), /header does not end/],
    ['a missing byte', (b) => b.subarray(0, -1), /does not fit/],
    ['a byte too many', (b) => Uint8Array.of(...b, 0), /does not fit/],
  ])('refuses %s', (_, damage, message) => {
    expect(() => decodeNpy(damage(encodeNpy(Uint8Array.of(1, 2), [2])), 'x')).toThrow(message);
  });
});

describe('npz', () => {
  it('comes back whole', () => {
    fc.assert(
      fc.property(anyTrace, (trace) => {
        expect(readTrace(writeTrace(trace, { weights: 'f32' }))).toEqual(trace);
      }),
    );
    expect(readTrace(writeTrace(small))).toEqual(small); // multiples of 1/16 are f16
    expect(readTrace(writeTrace(small, { weights: 'none' })).weights).toBeNull();
  });
  it('keeps absent experts and more than 255', () => {
    const wide: Trace = {
      ...small,
      model: { ...small.model, experts: 600 },
      ids: Uint16Array.from(small.ids, (id, i) => (i % 2 ? ABSENT : id + 500)),
    };
    expect(readTrace(writeTrace(wide)).ids).toEqual(wide.ids);
    const few = { ...small, ids: Uint16Array.from(small.ids, (id, i) => (i % 2 ? ABSENT : id)) };
    expect(readTrace(writeTrace(few)).ids).toEqual(few.ids);
  });
  it('depends on its contents only', () => {
    expect(writeTrace(small)).toEqual(writeTrace(small));
  });

  it.each<[string, () => Uint8Array, RegExp]>([
    ['no archive', () => new TextEncoder().encode('turn,phase'), /no \.npz/],
    ['no ids', () => withMember('ids', null), /has no ids/],
    ['no steps', () => withMember('steps', null), /has no steps/],
    ['a later version', () => meta((m) => ({ ...m, version: 3 })), /version 3; this webmoe reads 1 and 2/],
    ['another format', () => meta((m) => ({ ...m, format: 'x' })), /no webmoe-trace/],
    ['meta without a model', () => meta(({ format, version }) => ({ format, version })), /names no model/],
    ['meta that is null', () => meta(() => null), /no webmoe-trace/],
    [
      'ids of another shape',
      () => withMember('ids', encodeNpy(new Uint8Array(12), [12])),
      /ids must be u1 or u2 \[any, any, any\]/,
    ],
    ['too few tokens', () => withMember('ids', encodeNpy(new Uint8Array(8), [2, 2, 2])), /add up to 2|must be/],
    [
      'an expert twice',
      () => withMember('ids', encodeNpy(new Uint8Array(12), [3, 2, 2])),
      /token 0, layer 0: expert 0 twice/,
    ],
    ['an expert too many', () => withMember('ids', encodeNpy(new Uint8Array(12).fill(9), [3, 2, 2])), /expert 9 of 4/],
    ['weights of another shape', () => withMember('weights', encodeNpy(new Float32Array(4), [4])), /weights must be/],
    [
      'a weight that is no number',
      () => withMember('weights', encodeNpy(new Float32Array(12).fill(NaN), [3, 2, 2])),
      /finite/,
    ],
    ['an unknown origin', () => withMember('origins', encodeNpy(new Uint8Array(12).fill(99), [3, 2, 2])), /origins/],
    ['sizes of another model', () => withMember('expert_bytes', encodeNpy(Uint32Array.of(1), [1])), /expert_bytes/],
    [
      'a phase that does not exist',
      () => withMember('steps', encodeNpy(new Int32Array(12).fill(7), [3, 4])),
      /phase 7/,
    ],
    ['a step of no tokens', () => withMember('steps', encodeNpy(new Int32Array(12), [3, 4])), /add up|step 0/],
  ])('refuses %s', (_, make, message) => {
    const read = (): Trace => readTrace(make(), 'x.npz');
    expect(read).toThrow(InvalidTrace);
    expect(read).toThrow(message);
  });

  it('any damaged byte is refused, or changes nothing', () => {
    const whole = writeTrace(small);
    const draw = prng(3);
    for (let n = 0; n < 3000; n++) {
      const bytes = whole.slice();
      const at = Math.floor(draw() * bytes.length);
      bytes[at]! ^= 1 + Math.floor(draw() * 255);
      let read: Trace | null = null;
      try {
        read = readTrace(bytes);
      } catch (error) {
        expect(error, `byte ${at}`).toBeInstanceOf(InvalidTrace);
      }
      if (read) expect({ ...read, origins: null, weights: null }).toEqual({ ...small, origins: null, weights: null });
    }
    for (let length = 0; length < whole.length; length += 7)
      expect(() => readTrace(whole.subarray(0, length))).toThrow(InvalidTrace);
  });

  it('does not unpack a bomb', () => {
    const bytes = writeTrace(small);
    const view = new DataView(bytes.buffer);
    const entry = bytes.length - 22 - [...unzipNames(bytes)].reduce((n, name) => n + 46 + name.length, 0);
    view.setUint32(entry + 24, 2 ** 31, true);
    expect(() => readTrace(bytes)).toThrow(/unpacks to more than/);
    view.setUint32(entry + 24, 2 ** 28, true); // within bounds, but no deflated bytes of that length can hold it
    expect(() => readTrace(bytes)).toThrow(/claims 268435456 bytes/);
  });
});

const unzipNames = (bytes: Uint8Array): string[] => Object.keys(unzipSync(bytes));

describe('traces', () => {
  it.each(PUBLIC_TRACES)('%s is whole', (name) => {
    const trace = loadTrace(name);
    expect(trace.steps.filter((s) => s.phase === 'decode')).toHaveLength(name === 'gptoss' ? 64 : 128);
    expect(trace.weights).not.toBeNull();
  });
  it('smolmoe has at least 20 chats, each a prompt and what follows', () => {
    const { steps, model } = loadTrace('smolmoe');
    expect(model).toMatchObject({ layers: 29, experts: 16, topK: 8 });
    const chats = new Set(steps.map((s) => s.chat));
    expect(chats.size).toBeGreaterThanOrEqual(20);
    for (const chat of chats) {
      const own = steps.filter((s) => s.chat === chat);
      expect(own.map((s) => s.phase).lastIndexOf('prefill')).toBe(0);
      own.slice(1).forEach((s, n) => expect(s.position).toBe(own[0]!.tokens + n));
    }
  });
  it('join, with their chats numbered through', () => {
    const two = joinTraces([small, { ...small, origins: null } satisfies Trace]);
    expect(two.steps.map((s) => s.chat)).toEqual([0, 0, 0, 1, 1, 1]);
    expect([...two.ids]).toEqual([...small.ids, ...small.ids]);
    expect(two.origins).toBeNull();
    expect(() => joinTraces([small, loadTrace('qwen')])).toThrow(InvalidTrace);
    expect(() => joinTraces([])).toThrow(InvalidTrace);
  });
});
