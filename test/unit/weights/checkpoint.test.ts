/** Shards and their index: what must be refused, and what must not. */
import { describe, expect, test } from 'vitest';
import { InvalidCheckpoint, type CheckpointFault } from '../../../src/errors.ts';
import { INDEX_FILE, openCheckpoint, SINGLE_FILE } from '../../../src/weights/checkpoint.ts';
import { checkFileName, resolveFile } from '../../../src/weights/file-name.ts';
import { parseIndex } from '../../../src/weights/safetensors/index-file.ts';
import { MAX_INDEX_BYTES, MAX_SHARDS } from '../../../src/weights/safetensors/limits.ts';
import { memorySource, safetensors, type MemorySource } from '../../support/weights.ts';

const A = 'model-00001-of-00002.safetensors';
const B = 'model-00002-of-00002.safetensors';
const u8 = (n: number): { dtype: string; shape: number[]; bytes: Uint8Array } => ({
  dtype: 'U8',
  shape: [n],
  bytes: new Uint8Array(n),
});
const shardA = safetensors({ a: u8(4), b: u8(8) });
const shardB = safetensors({ c: u8(4) });
const MAP = { a: A, b: A, c: B };

const files = (index: unknown, more: Record<string, Uint8Array | string> = {}): MemorySource =>
  memorySource({
    [INDEX_FILE]: typeof index === 'string' ? index : JSON.stringify(index),
    [A]: shardA,
    [B]: shardB,
    ...more,
  });

async function faultOf(source: MemorySource): Promise<CheckpointFault> {
  const error = await openCheckpoint(source).then(
    () => expect.fail('the checkpoint was accepted'),
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(InvalidCheckpoint);
  return (error as InvalidCheckpoint).fault;
}

test('the control: two shards', async () => {
  const checkpoint = await openCheckpoint(files({ metadata: { total_size: 16 }, weight_map: MAP }));
  expect([...checkpoint.names()]).toEqual(['a', 'b', 'c']);
  expect(checkpoint.tensor('c').file).toBe(B);
  expect(checkpoint.warnings).toEqual([]);
  expect(checkpoint.files).toEqual([
    { name: A, bytes: shardA.length, tensors: 2 },
    { name: B, bytes: shardB.length, tensors: 1 },
  ]);
  expect(() => checkpoint.tensor('d')).toThrow(expect.objectContaining({ fault: 'missing-tensor' }) as Error);
});

test('a single file goes before an index', async () => {
  const checkpoint = await openCheckpoint(files({ weight_map: MAP }, { [SINGLE_FILE]: shardB }));
  expect([...checkpoint.names()]).toEqual(['c']);
  expect(checkpoint.warnings.length).toBe(1);
  expect(await faultOf(memorySource({}))).toBe('missing-file');
});

describe('index', () => {
  test.each([
    ['I01: not an object', '[]', 'index'],
    ['I01: not JSON', '{', 'index'],
    ['I01: no weight_map', '{"metadata":{}}', 'index'],
    ['I01: weight_map is a list', '{"weight_map":[]}', 'index'],
    ['I01: weight_map is null', '{"weight_map":null}', 'index'],
    ['I01: a file that is a number', '{"weight_map":{"a":1}}', 'index'],
    ['a tensor twice', `{"weight_map":{"a":"${A}","a":"${B}"}}`, 'duplicate-key'],
    ['nested 65 deep', `{"metadata":${'['.repeat(65)}${']'.repeat(65)},"weight_map":{}}`, 'index'],
    ['I06: a tensor that its shard lacks', JSON.stringify({ weight_map: { ...MAP, d: A } }), 'missing-tensor'],
    ['I06: a tensor in another shard', JSON.stringify({ weight_map: { ...MAP, c: A } }), 'missing-tensor'],
    ['I06: a tensor in the other listed shard', JSON.stringify({ weight_map: { ...MAP, b: B } }), 'missing-tensor'],
    ['I12: a shard that is not there', JSON.stringify({ weight_map: { ...MAP, c: 'x.safetensors' } }), 'missing-file'],
  ] as const)('%s', async (_, index, fault) => {
    expect(await faultOf(files(index))).toBe(fault);
  });

  test('I06 names the tensor and the shard', async () => {
    await expect(openCheckpoint(files({ weight_map: { ...MAP, 'layer.d': A } }))).rejects.toThrow(
      new RegExp(`layer\\.d.*${A}`),
    );
  });

  test('I07: a tensor that the index does not list is not loaded', async () => {
    const checkpoint = await openCheckpoint(files({ weight_map: { a: A, c: B } }));
    expect(checkpoint.has('b')).toBe(false);
    expect(checkpoint.warnings).toEqual([expect.stringContaining('1 tensors')]);
  });

  test('I08: a tensor in two shards', async () => {
    expect(await faultOf(files({ weight_map: MAP }, { [B]: safetensors({ c: u8(4), a: u8(4) }) }))).toBe(
      'ambiguous-tensor',
    );
  });

  test.each(['-1', '1e308', '"x"', '{}', 'null'])('I10: total_size %s is ignored', async (total) => {
    const checkpoint = await openCheckpoint(
      files(`{"metadata":{"total_size":${total}},"weight_map":${JSON.stringify(MAP)}}`),
    );
    expect(checkpoint.has('c')).toBe(true);
  });

  test('I11: limits', async () => {
    const shards = (count: number): string =>
      JSON.stringify({
        weight_map: Object.fromEntries(Array.from({ length: count }, (_, i) => [`t${i}`, `s${i}.safetensors`])),
      });
    const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
    expect(parseIndex(bytes(shards(MAX_SHARDS)), 'i').shards.length).toBe(MAX_SHARDS);
    expect(() => parseIndex(bytes(shards(MAX_SHARDS + 1)), 'i')).toThrow(
      expect.objectContaining({ fault: 'limit' }) as Error,
    );
    const source = files({ weight_map: MAP });
    const huge = {
      ...source,
      size: (f: string) => (f === INDEX_FILE ? Promise.resolve(MAX_INDEX_BYTES + 1) : source.size(f)),
    };
    await expect(openCheckpoint(huge)).rejects.toMatchObject({ fault: 'limit' });
  });

  test('I11: 60 MB with 500,000 entries', () => {
    const entries = Array.from(
      { length: 500_000 },
      (_, i) =>
        `"model.layers.${i % 60}.mlp.experts.${i}.gate_proj.weight${'_'.repeat(40)}":"model-${i % 100}.safetensors"`,
    );
    const json = new TextEncoder().encode(`{"weight_map":{${entries.join(',')}}}`);
    expect(json.length).toBeGreaterThan(55e6);
    expect(parseIndex(json, 'i')).toMatchObject({ shardOf: { size: 500_000 }, shards: { length: 100 } });
  });

  test('I12: a web page in place of a shard', async () => {
    const page = new TextEncoder().encode('<!doctype html><title>404</title>');
    expect(await faultOf(files({ weight_map: MAP }, { [B]: page }))).toBe('not-safetensors');
  });
});

describe('names of files', () => {
  const bad = [
    ...['../x.safetensors', '/etc/passwd', 'C:\\x', '\\\\host\\x', 'a/../b', 'a/..', '..', '.', './a', 'a/./b', '...'], // I02
    ...['%2e%2e/x', '.%2e/x', '..%5cx', '..\\x', '%2E%2e%2fx', 'a%00'], // I03
    ...['https://evil/x', '//evil/x', 'data:text/plain,x', 'blob:x', '\tjavascript:alert(1)', 'javascript:alert(1)'], // I04
    ...['a?b', 'a#b', 'a\0b', 'a\nb', 'a ', ' a', '', 'a//b', 'a/', 'é', 'x'.repeat(5000)], // I05
  ];
  test.each(bad)('I02-I05: %j', async (name) => {
    expect(() => checkFileName(name)).toThrow(expect.objectContaining({ fault: 'path' }) as Error);
    expect(await faultOf(files({ weight_map: { ...MAP, c: name } }))).toBe('path');
  });

  test('good ones, resolved below the base', () => {
    const base = new URL('https://host/org/repo/resolve/main/');
    for (const name of ['model.safetensors', 'a/b_c-1.2/x', '.gitattributes', 'x..y']) {
      expect(checkFileName(name)).toBe(name);
      expect(resolveFile(base, name).href).toBe(base.href + name);
    }
    expect(() => resolveFile(new URL('https://host/org/repo'), 'x')).toThrow(/outside/);
    for (const name of bad) expect(() => resolveFile(base, name)).toThrow(InvalidCheckpoint);
  });
});
