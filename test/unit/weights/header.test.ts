/** Every rule of a safetensors header: a file that breaks it is refused with that rule's name, and the file without the break loads. */
import { describe, expect, test } from 'vitest';
import { InvalidCheckpoint, type CheckpointFault } from '../../../src/errors.ts';
import { openCheckpoint } from '../../../src/weights/checkpoint.ts';
import { readHeader, type HeaderOptions, type SafetensorsHeader } from '../../../src/weights/safetensors/header.ts';
import { MAX_HEADER_BYTES, MAX_NAME_BYTES, MAX_TENSORS } from '../../../src/weights/safetensors/limits.ts';
import type { ByteSource } from '../../../src/weights/source.ts';
import { concat, memorySource, rawFile } from '../../support/weights.ts';

const utf8 = new TextEncoder();
const data16 = Uint8Array.from({ length: 16 }, (_, i) => i + 1);

/** Two tensors on 16 bytes: the control that every mutation below starts from. */
const HEADER =
  '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"U8","shape":[2,4],"data_offsets":[8,16]}}';
const CONTROL = rawFile(HEADER, data16);
const N = BigInt(HEADER.length);

const read = (file: Uint8Array, options?: HeaderOptions): Promise<SafetensorsHeader> =>
  readHeader(memorySource({ 'model.safetensors': file }), 'model.safetensors', options);

async function faultOf(file: Uint8Array, options?: HeaderOptions): Promise<CheckpointFault> {
  try {
    await read(file, options);
  } catch (error) {
    if (error instanceof InvalidCheckpoint) {
      expect(error.message).toContain('model.safetensors');
      return error.fault;
    }
    throw error;
  }
  return expect.fail('the file was accepted');
}

/** The control with a part of its header's text replaced. */
const edited = (from: string | RegExp, to: string, data: Uint8Array = data16): Uint8Array => {
  const header = HEADER.replace(from, to);
  expect(header).not.toBe(HEADER);
  return rawFile(header, data);
};
const withHeader = (header: string, data: Uint8Array = data16): Uint8Array => rawFile(header, data);
const entry = (dtype: string, shape: string, offsets: string): string =>
  `{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}}`;
/** A file with one tensor `t`. */
const one = (dtype: string, shape: string, offsets: string, bytes: number): Uint8Array =>
  withHeader(`{"t":${entry(dtype, shape, offsets)}}`, new Uint8Array(bytes));

test('the control loads', async () => {
  const header = await read(CONTROL);
  expect([...header.tensors.keys()]).toEqual(['a', 'w']);
  const at = 8 + HEADER.length;
  expect(header.tensors.get('w')).toEqual({
    name: 'w',
    dtype: 'U8',
    shape: [2, 4],
    file: 'model.safetensors',
    begin: at + 8,
    end: at + 16,
  });
  expect(header.warnings).toEqual([]);
});

/** A file of a claimed size whose bytes past `start` cost nothing. */
function sparse(start: Uint8Array, size: number): ByteSource {
  return {
    label: 'sparse',
    size: () => Promise.resolve(size),
    async *stream(_, begin, end) {
      if (end > start.length) throw new Error(`test bug: byte ${end} was asked for`);
      yield start.subarray(begin, end);
    },
  };
}

describe('length', () => {
  const cases: [string, Uint8Array, CheckpointFault][] = [
    ['H01: 0 bytes', new Uint8Array(0), 'header-too-small'],
    ...[1, 2, 3, 4, 5, 6, 7].map((n): [string, Uint8Array, CheckpointFault] => [
      `H02: ${n} bytes`,
      CONTROL.slice(0, n),
      'header-too-small',
    ]),
    ['H03: 8 bytes, N = 60', rawFile('', undefined, 60n), 'header-length'],
    ['H04: N = 0', rawFile(''), 'header-json'],
    ['H05: N = 2^64 - 1', rawFile(HEADER, data16, 2n ** 64n - 1n), 'header-too-large'],
    ['H07: N one past the end', rawFile(HEADER, data16, N + 17n), 'header-length'],
    ['H08: N one too small', rawFile(HEADER, data16, N - 1n), 'header-json'],
    ['H09: N one too large', rawFile(HEADER, data16, N + 1n), 'header-json'],
    ['H10: N big-endian', rawFile(HEADER, data16, BigInt.asUintN(64, N << 56n)), 'header-too-large'],
    ['H11: N + 2^32', rawFile(HEADER, data16, 2n ** 32n + N), 'header-too-large'],
    ['H12: N = 2^53 + 1', rawFile(HEADER, data16, 2n ** 53n + 1n), 'header-too-large'],
    ['a web page', utf8.encode('<!DOCTYPE html><html><body>Not found</body></html>'), 'not-safetensors'],
    [
      'a Git LFS pointer',
      utf8.encode('version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n'),
      'not-safetensors',
    ],
  ];
  test.each(cases)('%s', async (_, file, fault) => {
    expect(await faultOf(file)).toBe(fault);
  });

  test('H06: the limit of N, in a sparse file', async () => {
    const claim = (n: number): ByteSource => {
      const start = new Uint8Array(64 * 1024);
      new DataView(start.buffer).setBigUint64(0, BigInt(n), true);
      return sparse(start, 2e9);
    };
    const fault = (n: number): Promise<unknown> =>
      readHeader(claim(n), 'f', { maxHeaderBytes: MAX_HEADER_BYTES }).catch((e: unknown) => e);
    expect(await fault(MAX_HEADER_BYTES + 1)).toMatchObject({ fault: 'header-too-large' });
    // At the limit the header is asked for, which the sparse source cannot give.
    expect(await fault(MAX_HEADER_BYTES)).toMatchObject({
      message: expect.stringContaining('was asked for') as unknown,
    });
    expect(await readHeader(claim(2 ** 25 + 1), 'f').catch((e: unknown) => e)).toMatchObject({ fault: 'limit' });
  });

  test('a header longer than the first read', async () => {
    const names = Array.from(
      { length: 3000 },
      (_, i) => `"tensor.number.${i}":${entry('"U8"', '[1]', `[${i},${i + 1}]`)}`,
    );
    const header = await read(withHeader(`{${names.join(',')}}`, new Uint8Array(3000)));
    expect(header.tensors.size).toBe(3000);
  });
});

describe('text', () => {
  const utf16 = Uint8Array.from([...HEADER].flatMap((c) => [c.charCodeAt(0), 0]));
  const deep = `${'['.repeat(10_000)}${']'.repeat(10_000)}`;
  const cases: [string, Uint8Array, CheckpointFault][] = [
    [
      'H13: byte 0xFF in a name',
      rawFile(
        utf8.encode(HEADER).map((b, i) => (i === 2 ? 0xff : b)),
        data16,
      ),
      'header-encoding',
    ],
    [
      'H13: byte 0xFF between tokens',
      rawFile(concat(utf8.encode(HEADER.slice(0, -1)), Uint8Array.of(0xff, 0x7d)), data16),
      'header-encoding',
    ],
    [
      'H14: byte order mark',
      rawFile(concat(Uint8Array.of(0xef, 0xbb, 0xbf), utf8.encode(HEADER)), data16),
      'header-encoding',
    ],
    ['H15: UTF-16LE', rawFile(utf16, data16), 'header-json'],
    ['H16: NUL as padding', withHeader(`${HEADER}\0\0`), 'header-json'],
    ['H19: two documents', withHeader(HEADER + HEADER), 'header-json'],
    ['H20: []', withHeader('[]'), 'header-type'],
    ['H20: "x"', withHeader('"x"'), 'header-type'],
    ['H20: null', withHeader('null'), 'header-type'],
    ['H20: 1', withHeader('1'), 'header-type'],
    ['H22: {} and a byte', withHeader('{}', new Uint8Array(1)), 'trailing-bytes'],
    ['H24: nesting', edited('"shape":[2]', `"extra":${deep},"shape":[2]`), 'header-depth'],
    ['H27: a comment', edited('{', '{/* */'), 'header-json'],
    ['H27: a trailing comma', edited(/\}$/, ',}'), 'header-json'],
    ['H27: single quotes', edited('"dtype"', "'dtype'"), 'header-json'],
    ['H27: NaN', edited('[2]', '[NaN]'), 'header-json'],
    ['an unfinished literal', edited('[2]', '[tru]'), 'header-json'],
    ['an escape that JSON does not know', edited('"a"', '"\\x"'), 'header-json'],
    ['a raw line feed in a string', edited('"a"', '"a\n"'), 'header-json'],
    ['a leading zero', edited('[2]', '[02]'), 'header-json'],
    ['a value without a key', edited('"a":', ''), 'header-json'],
  ];
  test.each(cases)('%s', async (_, file, fault) => {
    expect(await faultOf(file)).toBe(fault);
  });

  test.each([
    ['H17: spaces, tabs, line feeds after', `${HEADER} \t\n\r `, 0],
    ['H18: white space before', ` \t\n${HEADER}`, 1],
  ])('%s: accepted', async (_, header, warnings) => {
    const parsed = await read(withHeader(header));
    expect(parsed.tensors.size).toBe(2);
    expect(parsed.warnings.length).toBe(warnings);
  });

  test('H21: {} and no data is an empty file', async () => {
    expect((await read(rawFile('{}'))).tensors.size).toBe(0);
  });

  test('H23: cut at every byte', async () => {
    for (let cut = 0; cut < HEADER.length; cut++) {
      expect(await faultOf(rawFile(HEADER.slice(0, cut), data16)), `cut at ${cut}`).toBe('header-json');
    }
  });

  test('H25: a key of 90 MB', async () => {
    const header = new Uint8Array(90e6).fill(0x61);
    header.set(utf8.encode('{"'));
    header.set(utf8.encode('":1}'), header.length - 4);
    expect(await faultOf(rawFile(header), { maxHeaderBytes: MAX_HEADER_BYTES })).toBe('limit');
    expect(await faultOf(rawFile(header))).toBe('limit');
  });

  test('H26: the limit of entries', async () => {
    const file = (count: number): Uint8Array => {
      const entries = Array.from({ length: count }, (_, i) => `"${i}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`);
      return rawFile(`{${entries.join(',')}}`);
    };
    expect((await read(file(MAX_TENSORS))).tensors.size).toBe(MAX_TENSORS);
    expect(await faultOf(file(MAX_TENSORS + 1))).toBe('limit');
  });
});

describe('keys', () => {
  const F = entry('"F32"', '[1]', '[0,4]');
  const U = entry('"U8"', '[4]', '[0,4]');
  const cases: [string, string, CheckpointFault][] = [
    ['K01: same bytes, other type', `{"w":${U},"w":${F}}`, 'duplicate-key'],
    ['K02: other bytes', `{"w":${U},"w":${entry('"U8"', '[4]', '[4,8]')}}`, 'duplicate-key'],
    ['K03: __metadata__ twice', `{"__metadata__":{},"__metadata__":{},"w":${U}}`, 'duplicate-key'],
    ['K04: dtype twice', `{"w":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, 'duplicate-key'],
    ['K05: differ by escape', `{"w":${U},"\\u0077":${U}}`, 'duplicate-key'],
    ['K05: differ by escaped slash', `{"a/b":${U},"a\\/b":${U}}`, 'duplicate-key'],
    ['K07: empty', `{"":${U}}`, 'name'],
    ['K07: 1,025 bytes', `{"${'x'.repeat(MAX_NAME_BYTES + 1)}":${U}}`, 'name'],
    ['K07: 1,025 bytes in 2-byte characters', `{"x${'é'.repeat(MAX_NAME_BYTES / 2)}":${U}}`, 'name'],
    ['K07: NUL', `{"a\\u0000":${U}}`, 'name'],
    ['K07: lone surrogate', `{"a\\ud800":${U}}`, 'name'],
    ['K07: bidirectional override', `{"a\u202eb":${U}}`, 'name'],
  ];
  test.each(cases)('%s', async (_, header, fault) => {
    expect(await faultOf(withHeader(header, new Uint8Array(4)))).toBe(fault);
    // The control: one well-named tensor on the same data.
    expect((await read(withHeader(`{"w":${U}}`, new Uint8Array(4)))).tensors.size).toBe(1);
  });

  test('K06: names that objects already have', async () => {
    const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty'];
    const entries = names.map((n, i) => `"${n}":${entry('"U8"', '[4]', `[${4 * i},${4 * i + 4}]`)}`);
    const file = withHeader(`{${entries.join(',')}}`);
    const checkpoint = await openCheckpoint(memorySource({ 'model.safetensors': file }));
    expect([...checkpoint.names()]).toEqual(names);
    expect(checkpoint.tensor('__proto__').shape).toEqual([4]);
    expect(({} as { dtype?: unknown }).dtype).toBeUndefined();
  });

  test('K08: NFC and NFD are two names; a name of 1,024 bytes is fine; so are surrogate pairs', async () => {
    const names = ['é', 'e\u0301', 'x'.repeat(MAX_NAME_BYTES), '\u{1f600}'];
    const entries = names.map((n, i) => `"${n}":${entry('"U8"', '[4]', `[${4 * i},${4 * i + 4}]`)}`);
    const { tensors } = await read(withHeader(`{${entries.join(',')}}`));
    expect([...tensors.keys()]).toEqual(names);
  });
});

describe('metadata', () => {
  const withMetadata = (metadata: string): Uint8Array => edited('{"a"', `{"__metadata__":${metadata},"a"`);
  test.each([
    ['M01: a number', '{"x":1}', 'metadata'],
    ['M01: an object', '{"x":{}}', 'metadata'],
    ['M01: a list', '{"x":[]}', 'metadata'],
    ['M01: null', '{"x":null}', 'metadata'],
    ['M01: not an object', '"x"', 'metadata'],
    ['M02: 10 MB in one value', `{"x":"${'y'.repeat(10e6)}"}`, 'limit'],
    [
      'M02: 1.2 MB in many',
      `{${Array.from({ length: 12 }, (_, i) => `"${i}":"${'y'.repeat(1e5)}"`).join(',')}}`,
      'limit',
    ],
    ['M02: 1,001 entries', `{${Array.from({ length: 1001 }, (_, i) => `"${i}":""`).join(',')}}`, 'limit'],
  ] as const)('%s', async (_, metadata, fault) => {
    expect(await faultOf(withMetadata(metadata))).toBe(fault);
  });

  test('M03: text is text', async () => {
    const header = await read(withMetadata('{"x":"<img onerror>","__proto__":"\\u00e9\\n"}'));
    expect([...header.metadata]).toEqual([
      ['x', '<img onerror>'],
      ['__proto__', 'é\n'],
    ]);
  });
});

describe('tensors', () => {
  const cases: [string, Uint8Array, CheckpointFault][] = [
    ['T01: no dtype', edited('"dtype":"F32",', ''), 'missing-field'],
    ['T01: no shape', edited('"shape":[2],', ''), 'missing-field'],
    ['T01: no data_offsets', edited(',"data_offsets":[0,8]', ''), 'missing-field'],
    ...['"F7"', '"f32"', '"float32"', '5', 'null', '"__proto__"'].map((d): [string, Uint8Array, CheckpointFault] => [
      `T03: dtype ${d}`,
      edited('"F32"', d),
      'dtype',
    ]),
    ['T04: F4 with 3 elements', one('"F4"', '[3]', '[0,2]', 2), 'misaligned'],
    ['T04: F6_E2M3 with 5 elements', one('"F6_E2M3"', '[5]', '[0,4]', 4), 'misaligned'],
    ...['-1', '1.5', '1e2', '"2"', 'true', 'null', '-0', '2.0'].map((d): [string, Uint8Array, CheckpointFault] => [
      `T06: dimension ${d}`,
      edited('[2]', `[${d}]`),
      'shape',
    ]),
    ['T06: a list', edited('[2]', '[[2]]'), 'header-depth'],
    ['T06: shape 2', edited('[2]', '2'), 'shape'],
    ['T07: 2 x (2^64 - 2)', edited('[2]', '[2,18446744073709551614]'), 'overflow'],
    ['T08: 2 x (2^63 - 1)', edited('[2]', '[2,9223372036854775807]'), 'overflow'],
    ['T09: partial overflow', edited('[2]', '[4294967296,4294967296,0]'), 'overflow'],
    ['a dimension of 2^53', edited('[2]', '[9007199254740992]'), 'overflow'],
    ['a dimension of 2^32 + 1', edited('[2]', '[4294967297]'), 'limit'],
    ['T10: 10,000 ones', edited('[2]', `[${Array(10_000).fill('1').join(',')}]`), 'limit'],
    ['T10: rank 9', edited('[2]', '[2,1,1,1,1,1,1,1,1]'), 'limit'],
    ['T14: one byte too many', one('"F32"', '[1]', '[0,5]', 5), 'size'],
    ['T14: one byte too few', one('"F32"', '[1]', '[0,3]', 3), 'size'],
    ['T14: twice the bytes', one('"F32"', '[1]', '[0,8]', 8), 'size'],
    ['an entry that is a number', edited(/"w":\{.*\}\}/, '"w":1}'), 'header-type'],
  ];
  test.each(cases)('%s', async (_, file, fault) => {
    expect(await faultOf(file)).toBe(fault);
  });

  test('T02: an unknown field is a warning', async () => {
    const header = await read(edited('"shape":[2]', '"stride":[1,true,null,"x"],"shape":[2]'));
    expect(header.tensors.size).toBe(2);
    expect(header.warnings).toEqual([expect.stringContaining('stride')]);
  });

  test('T10: rank 8 is fine', async () => {
    expect((await read(edited('[2]', '[2,1,1,1,1,1,1,1]'))).tensors.get('a')!.shape.length).toBe(8);
  });

  test.each([
    ['T11: a scalar', '"I32"', '[]', '[0,4]', 4],
    ['T12: a zero dimension', '"F32"', '[2,0]', '[0,0]', 0],
    ['T04: F4 with 4 elements', '"F4"', '[4]', '[0,2]', 2],
    ['T04: F6_E3M2 with 4 elements', '"F6_E3M2"', '[4]', '[0,3]', 3],
    ['T05: C64 is known', '"C64"', '[1]', '[0,8]', 8],
  ])('%s: accepted', async (_, dtype, shape, offsets, bytes) => {
    expect((await read(one(dtype, shape, offsets, bytes))).tensors.size).toBe(1);
  });

  test('T13: an empty tensor where a real one begins', async () => {
    const header = `{"w":${entry('"U8"', '[4]', '[0,4]')},"z":${entry('"U8"', '[0]', '[0,0]')},"y":${entry('"U8"', '[0]', '[4,4]')}}`;
    expect((await read(withHeader(header, new Uint8Array(4)))).tensors.size).toBe(3);
    const inside = header.replace('[0,0]', '[2,2]');
    expect(await faultOf(withHeader(inside, new Uint8Array(4)))).toBe('overlap');
  });
});

describe('offsets', () => {
  const u8 = (name: string, begin: number, end: number): string =>
    `"${name}":${entry('"U8"', `[${end - begin}]`, `[${begin},${end}]`)}`;
  const file = (entries: readonly string[], bytes: number): Uint8Array =>
    withHeader(`{${entries.join(',')}}`, new Uint8Array(bytes));
  const cases: [string, Uint8Array, CheckpointFault][] = [
    ['O01: end before begin', edited('[0,8]', '[8,0]'), 'offsets'],
    ['O02: negative', edited('[0,8]', '[-8,0]'), 'offsets'],
    ['O03: three', edited('[0,8]', '[0,8,8]'), 'offsets'],
    ['O03: one', edited('[0,8]', '[0]'), 'offsets'],
    ['O03: none', edited('[0,8]', '[]'), 'offsets'],
    ['O03: strings', edited('[0,8]', '["0","8"]'), 'offsets'],
    ['O03: floats', edited('[0,8]', '[0.0,8.0]'), 'offsets'],
    ['O03: not a list', edited('[0,8]', '{"0":0}'), 'offsets'],
    ['O04: 2^53 + 1', edited('[0,8]', '[9007199254740993,9007199254741001]'), 'overflow'],
    [
      'O05: ten on the same bytes',
      file(
        Array.from({ length: 10 }, (_, i) => u8(`t${i}`, 0, 16)),
        16,
      ),
      'overlap',
    ],
    ['O06: overlap by one', file([u8('a', 0, 8), u8('b', 7, 16)], 16), 'overlap'],
    ['O07: hole of one', file([u8('a', 0, 8), u8('b', 9, 16)], 16), 'hole'],
    ['O08: does not start at 0', file([u8('a', 1, 16)], 16), 'hole'],
    ['O10: ends 1 byte late', file([u8('a', 0, 17)], 16), 'truncated'],
    ['O10: ends 1 GiB late', file([u8('a', 0, 16 + 2 ** 30)], 16), 'truncated'],
    ['O11: 34 bytes appended', concat(CONTROL, new Uint8Array(34)), 'trailing-bytes'],
    [
      'O12: a ZIP end record appended',
      concat(CONTROL, utf8.encode('PK\x05\x06'), new Uint8Array(18)),
      'trailing-bytes',
    ],
    ['O12: HTML in the padding', withHeader(`${HEADER}<html>`), 'header-json'],
    ['O12: PDF before the header', withHeader(`%PDF-1.7\n${HEADER}`), 'header-json'],
    ['O13: 2 bytes short', CONTROL.slice(0, -2), 'truncated'],
  ];
  test.each(cases)('%s', async (_, bytes, fault) => {
    expect(await faultOf(bytes)).toBe(fault);
  });

  test('O09: any order in the header', async () => {
    const { tensors } = await read(file([u8('c', 12, 16), u8('a', 0, 8), u8('b', 8, 12)], 16));
    expect([...tensors.keys()]).toEqual(['a', 'b', 'c']);
  });
});
