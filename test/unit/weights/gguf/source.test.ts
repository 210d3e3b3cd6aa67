/** Where a GGUF comes from: an address, files that were picked, splits, a remembered description; and the experts in its stacks. */
import { describe, expect, test } from 'vitest';
import { readTyped } from '../../../../demo/models/typed.ts';
import { openModel } from '../../../../src/engine/open.ts';
import { openSource } from '../../../../src/engine/open-source.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../../../src/errors.ts';
import { openGguf } from '../../../../src/weights/gguf/checkpoint.ts';
import { ggufSource } from '../../../../src/weights/gguf/gguf-source.ts';
import { pickedSource } from '../../../../src/weights/gguf/picked.ts';
import { findMatrix } from '../../../../src/weights/formats/index.ts';
import { sourceBlobs } from '../../../../src/weights/records/blobs.ts';
import { memoryFolder } from '../../../../src/weights/records/memory-folder.ts';
import { metadataSource, type MetadataSource } from '../../../../src/weights/records/metadata-source.ts';
import { readBytes, type ByteSource } from '../../../../src/weights/source.ts';
import { ggufFile, ggufString, u32, u64, type GgufParts, type GgufValue } from '../../../support/gguf.ts';
import { ggufParts } from '../../../support/gguf-fixture.ts';
import { filesOf, fixturePath } from '../../../support/models.ts';
import { concat, floatsOf, memorySource } from '../../../support/weights.ts';

const PARTS = ggufParts(filesOf(fixturePath('families/olmoe')));
const FILE = ggufFile(PARTS);
const edited = (change: Partial<GgufParts>): Uint8Array => ggufFile({ ...PARTS, ...change });
const withKeys = (keys: Record<string, GgufValue>): Uint8Array => edited({ metadata: { ...PARTS.metadata, ...keys } });
const open = (bytes: Uint8Array): ReturnType<typeof openModel> =>
  openModel(ggufSource(memorySource({ 'm.gguf': bytes }), 'm.gguf'));

/** A server of one file that answers ranges. */
const server = (asked: string[]): typeof fetch =>
  ((input: string | URL, init?: RequestInit) => {
    asked.push(String(input));
    const [, begin, end] = /bytes=(\d+)-(\d+)/.exec(new Headers(init?.headers).get('range') ?? '') ?? [];
    const part = FILE.slice(Number(begin), Number(end) + 1);
    const headers = {
      'content-range': `bytes ${begin}-${Number(begin) + part.length - 1}/${FILE.length}`,
      etag: '"1"',
    };
    return Promise.resolve(new Response(part, { status: 206, headers }));
  }) as typeof fetch;

describe('found', () => {
  test.each([
    'https://there.test/a/x.gguf',
    'https://there.test/a/x.gguf?download=true',
    'https://there.test/a/X.GGUF',
  ])('at %s', async (url) => {
    const asked: string[] = [];
    const source = await openSource(url, { fetch: server(asked) });
    expect((await openModel(source)).config.family).toBe('olmoe');
    expect(new Set(asked)).toEqual(new Set([url.replace(/\?.*/, '')]));
    expect(source.version?.('config.json')).toBe(source.version?.(/[^/]+$/.exec(url.replace(/\?.*/, ''))![0]));
    expect(source.label).toBe(url.replace(/\?.*/, ''));
  });

  test('among files that were picked', async () => {
    const file = new File([FILE], 'what I have (1).gguf');
    expect((await openModel(pickedSource([file]))).config.family).toBe('olmoe');
    // A folder that is a model itself stays one.
    const folder = new Map<string, Blob>([
      ['config.json', new Blob(['{}'])],
      ['x.gguf', file],
    ]);
    expect(await pickedSource(folder).size('x.gguf')).toBe(FILE.length);
    expect(await pickedSource(folder).size('config.json')).toBe(2);
  });

  test('by what people paste into the page', () => {
    const access = { endpoint: 'https://huggingface.co', token: null };
    const typed = 'https://huggingface.co/org/name/blob/main/x-Q4_K_M.gguf?download=true';
    expect(readTyped(typed, access)).toMatchObject({
      source: 'https://huggingface.co/org/name/resolve/main/x-Q4_K_M.gguf',
      name: 'x-Q4_K_M.gguf',
    });
  });
});

test('splits are one model', async () => {
  const names = Object.keys(PARTS.tensors);
  const half = names.length >> 1;
  const part = (from: number, to: number): GgufParts['tensors'] =>
    Object.fromEntries(names.slice(from, to).map((n) => [n, PARTS.tensors[n]!]));
  const first = { ...PARTS.metadata, 'split.count': 2, 'split.no': 0, 'split.tensors.count': names.length };
  const files = {
    'm-00001-of-00002.gguf': ggufFile({ metadata: first, tensors: part(0, half) }),
    'm-00002-of-00002.gguf': ggufFile({ metadata: { 'split.no': 1 }, tensors: part(half, names.length) }),
  };
  const { checkpoint } = await openModel(ggufSource(memorySource(files), 'm-00001-of-00002.gguf'));
  expect([...checkpoint.names()].sort()).toEqual([...names].sort());
  expect(checkpoint.files.map((f) => f.name)).toEqual(Object.keys(files));
  const picked = pickedSource(Object.entries(files).map(([name, bytes]) => new File([bytes], name)));
  expect((await openModel(picked)).checkpoint.files).toHaveLength(2);
  const short = { ...files, 'm-00002-of-00002.gguf': ggufFile({ metadata: {}, tensors: part(half, half + 1) }) };
  await expect(openModel(ggufSource(memorySource(short), 'm-00001-of-00002.gguf'))).rejects.toThrow(/announces/);
});

test('what is written from the metadata can be read in parts, and again after an abort', async () => {
  const source = ggufSource(memorySource({ 'm.gguf': FILE }), 'm.gguf');
  const aborted = AbortSignal.abort(new Error('enough'));
  await expect(source.size('config.json', aborted)).rejects.toThrow('enough');
  const size = (await source.size('config.json'))!;
  const whole = new TextDecoder().decode(await readBytes(source, 'config.json', 0, size));
  expect(JSON.parse(whole)).toMatchObject({ model_type: 'olmoe', quantization_config: { file: 'm.gguf' } });
  expect(new TextDecoder().decode(await readBytes(source, 'config.json', 2, 9))).toBe(whole.slice(2, 9));
  for (const absent of ['tokenizer.json', 'model.safetensors']) expect(await source.size(absent)).toBeNull();
});

test('a file that is opened again is asked whether it changed, and for nothing else', async () => {
  const files = { 'm.gguf': FILE };
  const inner = memorySource(files);
  let version = 'etag "1"';
  const network: ByteSource = { ...inner, origin: 'network', version: () => version };
  const folder = memoryFolder(2 ** 26);
  const remembered = async (): Promise<MetadataSource> => {
    inner.reads.length = 0;
    return metadataSource(ggufSource(network, 'm.gguf'), await sourceBlobs(folder, 'm', null));
  };
  const first = await remembered();
  const { config } = await openModel(first);
  expect([first.freshness, await first.save()]).toEqual(['new', true]);
  expect(inner.reads.length).toBeGreaterThan(0);
  const second = await remembered();
  const { checkpoint, config: again } = await openModel(second);
  expect([second.freshness, inner.reads]).toEqual(['fresh', []]);
  expect(again).toEqual(config);
  const { begin } = checkpoint.tensor('output_norm.weight');
  expect(await readBytes(second, 'm.gguf', begin, begin + 4)).toEqual(FILE.slice(begin, begin + 4));
  version = 'etag "2"';
  expect((await remembered()).freshness).toBe('changed');
});

describe('refused by name', () => {
  test.each<[string, Uint8Array, typeof UnsupportedModel | typeof InvalidCheckpoint, RegExp]>([
    ['another architecture', withKeys({ 'general.architecture': 'mamba' }), UnsupportedModel, /"mamba".*olmoe/],
    ['a key that nobody knows', withKeys({ 'olmoe.attention.sparse': 2 }), UnsupportedModel, /attention\.sparse/],
    ['heads that differ by layer', withKeys({ 'olmoe.attention.head_count': [4, 2] }), UnsupportedModel, /head_count/],
    [
      'another layout of blocks',
      withKeys({ 'general.quantization_version': 1 }),
      UnsupportedModel,
      /quantization_version/,
    ],
    ['a scaling without a table', withKeys({ 'olmoe.rope.scaling.type': 'longrope' }), UnsupportedModel, /longrope/],
    ['no architecture', edited({ metadata: {} }), InvalidCheckpoint, /general\.architecture/],
    [
      'a width that the experts do not have',
      withKeys({ 'olmoe.feed_forward_length': 33 }),
      InvalidCheckpoint,
      /ffn_gate_exps/,
    ],
    [
      'a table of frequencies',
      edited({
        tensors: { ...PARTS.tensors, 'rope_freqs.weight': { type: 0, shape: [8], bytes: new Uint8Array(32) } },
      }),
      UnsupportedModel,
      /rope_freqs/,
    ],
    [
      'one of two lists of rotary factors',
      edited({
        tensors: { ...PARTS.tensors, 'rope_factors_long.weight': { type: 0, shape: [8], bytes: new Uint8Array(32) } },
      }),
      InvalidCheckpoint,
      /rope_factors_short/,
    ],
    [
      'a tensor that nothing reads',
      edited({
        tensors: { ...PARTS.tensors, 'blk.0.attn_q.scale': { type: 0, shape: [8], bytes: new Uint8Array(32) } },
      }),
      UnsupportedModel,
      /blk\.0\.attn_q\.scale/,
    ],
  ])('%s', async (_, bytes, error, message) => {
    const { plan } = await import('../../../../src/engine/load.ts');
    const planned = plan(ggufSource(memorySource({ 'm.gguf': bytes }), 'm.gguf'));
    await expect(planned).rejects.toThrow(error);
    await expect(planned).rejects.toThrow(message);
  });

  test('blocks that are not run, by type and tensor', async () => {
    const bytes = edited({
      tensors: { ...PARTS.tensors, 'output.weight': { type: 18, shape: [256, 256], bytes: new Uint8Array(256 * 98) } },
    });
    const { checkpoint, quantization } = await open(bytes);
    expect(() => findMatrix(checkpoint, quantization, 'output', { rows: 256, cols: 256 })).toThrow(
      /output\.weight.*IQ3_XXS/,
    );
  });
});

test('gate and up in one stack are told apart', async () => {
  const rows = Array.from({ length: 2 * 4 }, (_, row) => [row, -row]).flat();
  const joint = { type: 0, shape: [2, 4, 2], bytes: new Uint8Array(Float32Array.from(rows).buffer) };
  const source = memorySource({
    'm.gguf': ggufFile({ metadata: {}, tensors: { 'blk.0.ffn_gate_up_exps.weight': joint } }),
  });
  const checkpoint = await openGguf(source, 'm.gguf');
  const read = async (name: string): Promise<number[]> =>
    floatsOf(findMatrix(checkpoint, { quant_method: 'gguf', file: 'm.gguf' }, name, { rows: 2, cols: 2 })!);
  expect(await read('blk.0.ffn_gate_exps.1')).toEqual([4, -4, 5, -5]);
  expect(await read('blk.0.ffn_up_exps.1')).toEqual([6, -6, 7, -7]);
  expect([checkpoint.has('blk.0.ffn_up_exps.2.weight'), checkpoint.has('blk.0.ffn_down_exps.0.weight')]).toEqual([
    false,
    false,
  ]);
});

test('rows of q and k come back in their order, whatever part is asked for', async () => {
  const values = Float32Array.from({ length: 16 * 32 }, (_, i) => Math.floor(i / 32));
  const tensors = { 'blk.0.attn_q.weight': { type: 0, shape: [16, 32], bytes: new Uint8Array(values.buffer) } };
  const checkpoint = await openGguf(memorySource({ 'm.gguf': ggufFile({ metadata: {}, tensors }) }), 'm.gguf');
  const quantization = { quant_method: 'gguf', file: 'm.gguf', permuted_head_size: 8 };
  const matrix = findMatrix(checkpoint, quantization, 'blk.0.attn_q', { rows: 16, cols: 32 })!;
  const order = [0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15];
  for (const [begin, end] of [
    [0, 16],
    [3, 5],
    [7, 9],
    [15, 16],
  ] as const) {
    const found = await floatsOf(matrix, begin, end);
    expect(found.filter((_, i) => i % 32 === 0)).toEqual(order.slice(begin, end));
  }
});

test('a header with nothing but a name of a file is no way out of the folder', () => {
  expect(() => ggufSource(memorySource({}), '../m.gguf')).toThrow(InvalidCheckpoint);
});

test('lists of what nobody asks for do not matter', async () => {
  const raw = concat(u32(9), u32(8), u64(2), ggufString('en'), ggufString('de'));
  expect((await open(withKeys({ 'general.languages': { raw } }))).config.family).toBe('olmoe');
});
