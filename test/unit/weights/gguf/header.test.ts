/** Every rule of a GGUF header: a file that breaks it is refused with that rule's name, and the file without the break loads. */
import { describe, expect, test } from 'vitest';
import { InvalidCheckpoint, UnsupportedModel, type CheckpointFault } from '../../../../src/errors.ts';
import { readGgufHeader, type GgufHeader } from '../../../../src/weights/gguf/header.ts';
import { MAX_ELEMENTS, MAX_ENTRIES } from '../../../../src/weights/gguf/limits.ts';
import { splitNames } from '../../../../src/weights/gguf/splits.ts';
import { ggufFile, ggufString, u32, u64, type GgufParts, type GgufTensorSpec } from '../../../support/gguf.ts';
import { concat, memorySource } from '../../../support/weights.ts';

const F32 = (shape: readonly number[]): GgufTensorSpec => {
  const count = shape.reduce((a, b) => a * b, 1);
  return { type: 0, shape, bytes: new Uint8Array(4 * count).fill(1) };
};
const PARTS: GgufParts = {
  metadata: {
    'general.architecture': 'llama',
    'llama.block_count': 2,
    'llama.eps': { f32: 1e-5 },
    flags: { raw: concat(u32(9), u32(7), u64(2), Uint8Array.of(0, 1)) },
  },
  tensors: { a: F32([3]), w: { type: 2, shape: [2, 64], bytes: new Uint8Array(4 * 18) } },
};
const edited = (change: Partial<GgufParts>): Uint8Array => ggufFile({ ...PARTS, ...change });
const withKey = (raw: Uint8Array): Uint8Array => edited({ metadata: { ...PARTS.metadata, key: { raw } } });

const read = (file: Uint8Array): Promise<GgufHeader> => readGgufHeader(memorySource({ 'm.gguf': file }), 'm.gguf');

async function faultOf(file: Uint8Array): Promise<CheckpointFault> {
  try {
    await read(file);
  } catch (error) {
    if (!(error instanceof InvalidCheckpoint)) throw error;
    expect(error.message).toContain('m.gguf');
    return error.fault;
  }
  return expect.fail('the file was accepted');
}

test('the control loads', async () => {
  const file = edited({});
  const header = await read(file);
  expect([...header.metadata]).toEqual([
    ['general.architecture', 'llama'],
    ['llama.block_count', 2],
    ['llama.eps', 1e-5],
    ['flags', [false, true]],
  ]);
  const w = header.tensors.get('w')!;
  expect(w).toMatchObject({ name: 'w', shape: [2, 64], type: { name: 'Q4_0' } });
  expect([w.end - w.begin, w.begin % 32, header.tensors.get('a')!.begin]).toEqual([72, 0, w.begin - 32]);
  expect([header.bytes, header.warnings]).toEqual([file.length, []]);
});

test('version 2, other alignments and no tensors load', async () => {
  expect((await read(edited({ version: 2 }))).tensors.size).toBe(2);
  const wide = { ...PARTS.metadata, 'general.alignment': 128 };
  const header = await read(edited({ metadata: wide, alignment: 128 }));
  expect(header.tensors.get('w')!.begin % 128).toBe(0);
  expect((await read(edited({ tensors: {} }))).tensors.size).toBe(0);
});

test('a header longer than the first read is read on', async () => {
  const tokens = Array.from({ length: 200_000 }, (_, i) => `token ${i}`);
  const source = memorySource({ 'm.gguf': edited({ metadata: { ...PARTS.metadata, tokens } }) });
  const header = await readGgufHeader(source, 'm.gguf');
  expect(header.metadata.get('tokens')).toEqual(tokens);
  expect(source.reads.length).toBeLessThanOrEqual(3);
});

test('bytes behind the last tensor are told, not refused', async () => {
  expect((await read(concat(edited({}), new Uint8Array(100)))).warnings).toHaveLength(1);
});

const file = edited({});
const patched = (at: number, bytes: Uint8Array): Uint8Array => {
  const out = file.slice();
  out.set(bytes, at);
  return out;
};
const huge = u64(2n ** 60n);

describe('refused', () => {
  test.each<[string, Uint8Array, CheckpointFault]>([
    ['nothing', new Uint8Array(0), 'header-too-small'],
    ['another magic', patched(0, new TextEncoder().encode('GGML')), 'not-gguf'],
    ['a Git LFS pointer', new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\n'), 'not-gguf'],
    ['more tensors than could be', patched(8, huge), 'overflow'],
    ['many tensors', patched(8, u64(10_000_000)), 'limit'],
    ['many entries', patched(16, u64(MAX_ENTRIES + 1)), 'limit'],
    [
      'a key twice',
      concat(
        file.subarray(0, 16),
        u64(2),
        ggufString('k'),
        u32(7),
        Uint8Array.of(1),
        ggufString('k'),
        u32(7),
        Uint8Array.of(1),
      ),
      'duplicate-key',
    ],
    ['a long key', patched(24, u64(5000)), 'limit'],
    ['text that is not UTF-8', withKey(concat(u32(8), u64(2), Uint8Array.of(0xc3, 0x28))), 'header-encoding'],
    ['an unknown type of value', withKey(u32(13)), 'metadata'],
    ['a boolean of 2', withKey(concat(u32(7), Uint8Array.of(2))), 'metadata'],
    ['a list of lists', withKey(concat(u32(9), u32(9), u64(0))), 'metadata'],
    ['a list beyond the file', withKey(concat(u32(9), u32(4), u64(100_000))), 'truncated'],
    ['a list beyond the limit', withKey(concat(u32(9), u32(0), u64(MAX_ELEMENTS + 1))), 'limit'],
    ['a text beyond the file', withKey(concat(u32(8), u64(1_000_000))), 'truncated'],
    ['a text beyond the limit', withKey(concat(u32(8), u64(2n ** 40n))), 'limit'],
    ['an alignment of 24', edited({ metadata: { 'general.alignment': 24 } }), 'metadata'],
    [
      'a name twice',
      edited({ tensors: { a: F32([3]), b: F32([3]) } }).map((b, i, all) => (b === 98 && all[i - 1] === 0 ? 97 : b)),
      'duplicate-key',
    ],
    ['an empty name', edited({ tensors: { '': F32([3]) } }), 'name'],
    ['control characters in a name', edited({ tensors: { 'a\u202e': F32([3]) } }), 'name'],
    ['five dimensions', edited({ tensors: { a: F32([1, 1, 1, 1, 1]) } }), 'limit'],
    ['an unknown type', edited({ tensors: { a: { ...F32([3]), type: 5 } } }), 'dtype'],
    ['half a block', edited({ tensors: { a: { type: 2, shape: [48], bytes: new Uint8Array(27) } } }), 'misaligned'],
    ['a dimension beyond reason', edited({ tensors: { a: { ...F32([3]), shape: [2 ** 33, 1] } } }), 'limit'],
    ['more weights than can be', edited({ tensors: { a: { ...F32([3]), shape: [2 ** 32, 2 ** 32] } } }), 'overflow'],
    ['an offset between multiples', edited({ offsets: { w: 33 } }), 'misaligned'],
    ['overlap', edited({ offsets: { w: 0 } }), 'overlap'],
    ['a hole', edited({ offsets: { w: 64 } }), 'hole'],
    ['tensors beyond the file', file.subarray(0, file.length - 32), 'truncated'],
  ])('%s', async (_, bytes, fault) => {
    expect(await faultOf(bytes)).toBe(fault);
  });

  test('every cut of the file', async () => {
    // Behind the last tensor lies padding only.
    const end = [...(await read(file)).tensors.values()].at(-1)!.end;
    for (let n = 0; n < end; n++)
      expect(['truncated', 'header-too-small'], `${n} bytes`).toContain(await faultOf(file.subarray(0, n)));
  });

  test('other versions and big-endian files, as unsupported', async () => {
    for (const version of [0, 1, 4, 0x03000000])
      await expect(read(edited({ version }))).rejects.toThrow(UnsupportedModel);
  });
});

test('splits are found by the name of the first', () => {
  expect(splitNames('m.gguf', 1)).toEqual(['m.gguf']);
  expect(splitNames('m-00001-of-00002.gguf', 2)).toEqual(['m-00001-of-00002.gguf', 'm-00002-of-00002.gguf']);
  for (const [name, count] of [
    ['m.gguf', 2],
    ['m-00002-of-00002.gguf', 2],
    ['m-00001-of-00003.gguf', 2],
  ] as const)
    expect(() => splitNames(name, count)).toThrow(/open the first/);
});
