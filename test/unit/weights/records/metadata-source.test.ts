import { describe, expect, test } from 'vitest';
import { SourceError } from '../../../../src/errors.ts';
import { openCheckpoint, type CheckpointFile } from '../../../../src/weights/checkpoint.ts';
import { blockSource } from '../../../../src/weights/block-source.ts';
import { httpSource } from '../../../../src/weights/http-source.ts';
import { sourceBlobs, type BlobStore } from '../../../../src/weights/records/blobs.ts';
import { memoryFolder } from '../../../../src/weights/records/memory-folder.ts';
import { metadataSource, type MetadataSource } from '../../../../src/weights/records/metadata-source.ts';
import type { RecordCache } from '../../../../src/weights/records/cache.ts';
import { openRecordCache } from '../../../../src/weights/records/open-cache.ts';
import { decodeReads, encodeReads, newReads } from '../../../../src/weights/records/small-reads.ts';
import { readBytes, type ByteSource } from '../../../../src/weights/source.ts';
import { faultServer } from '../../../support/fault-server.ts';
import { safetensors } from '../../../support/weights.ts';

const text = (s: string): Uint8Array => new TextEncoder().encode(s);
/** Longer than what is read at once for a header. */
const weights = Uint8Array.from({ length: 200_000 }, (_, i) => i * 7);
const END = weights.subarray(-4096);
const files = (): Record<string, Uint8Array> => ({
  'config.json': text('{"model_type":"x"}'),
  'model.safetensors': safetensors({ w: { dtype: 'U8', shape: [weights.length], bytes: weights } }),
});

/** A network that can be changed, cut, and counted. */
class Network implements ByteSource {
  readonly label = 'https://example.org/m/';
  readonly origin = 'network';
  files: Record<string, Uint8Array> = files();
  versions: Record<string, string> = {};
  /** `answers`, `fails` at once, or never answers. */
  state: 'answers' | 'fails' | 'hangs' = 'answers';
  readonly asked: string[] = [];
  readonly #seen = new Set<string>();

  async #ask(what: string, signal?: AbortSignal): Promise<void> {
    this.asked.push(what);
    if (this.state === 'fails') throw new SourceError('no network');
    signal?.throwIfAborted();
    if (this.state === 'hangs')
      await new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
  }

  async size(file: string, signal?: AbortSignal): Promise<number | null> {
    await this.#ask(`size ${file}`, signal);
    this.#seen.add(file);
    return this.files[file]?.length ?? null;
  }

  async *stream(file: string, begin: number, end: number, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    await this.#ask(`${file} ${begin}-${end}`, signal);
    this.#seen.add(file);
    if (end > this.files[file]!.length) throw new SourceError(`416: ${file} is shorter`);
    const bytes = this.files[file]!.subarray(begin, end);
    for (let at = 0; at < bytes.length; at += 100) yield bytes.subarray(at, at + 100);
  }

  version(file: string): string | null {
    return this.#seen.has(file) ? (this.versions[file] ?? null) : null;
  }
}

const blobsOf = (): Promise<BlobStore> => sourceBlobs(memoryFolder(), 'https://example.org/m/', null);

/** What an engine reads of a model to describe it. */
async function describeModel(source: ByteSource): Promise<readonly CheckpointFile[]> {
  const size = (await source.size('config.json'))!;
  await readBytes(source, 'config.json', 0, size);
  expect(await source.size('generation_config.json')).toBeNull();
  const checkpoint = await openCheckpoint(source);
  expect(checkpoint.tensor('w').dtype).toBe('U8');
  return checkpoint.files;
}

const readWeights = (source: ByteSource): Promise<Uint8Array> =>
  readBytes(
    source,
    'model.safetensors',
    files()['model.safetensors']!.length - 4096,
    files()['model.safetensors']!.length,
  );

/** A network that was visited once. */
async function visited(versions: Record<string, string> = {}): Promise<{ network: Network; blobs: BlobStore }> {
  const network = new Network();
  network.versions = versions;
  const blobs = await blobsOf();
  const first = await metadataSource(network, blobs);
  expect([first.freshness, first.note]).toEqual(['new', null]);
  await describeModel(first);
  expect(await first.save()).toBe(true);
  const again = new Network();
  again.versions = { ...versions };
  return { network: again, blobs };
}

/** Opens, describes, saves. */
async function visit(network: Network, blobs: BlobStore, checkMs = 50): Promise<MetadataSource> {
  const source = await metadataSource(network, blobs, { checkMs });
  await describeModel(source);
  await source.save();
  return source;
}

describe('a second visit', () => {
  test('asks the network for nothing but whether the model changed', async () => {
    const { network, blobs } = await visited({ 'config.json': 'etag "1"' });
    const source = await visit(network, blobs);
    expect([source.freshness, source.note]).toEqual(['fresh', expect.stringMatching(/the same/)]);
    expect(network.asked.sort()).toEqual(['size config.json', 'size model.safetensors.index.json']);
    expect([source.label, source.origin]).toEqual([network.label, 'network']);
  });

  test('without versions reads config.json again', async () => {
    const { network, blobs } = await visited();
    await visit(network, blobs);
    expect(network.asked).toContain('config.json 0-18');
    expect(network.asked).toHaveLength(3);
  });

  test('without a network uses what it has', async () => {
    const { network, blobs } = await visited({ 'model.safetensors': 'etag "w"' });
    for (const state of ['fails', 'hangs'] as const) {
      network.state = state;
      const source = await visit(network, blobs);
      expect(source.freshness).toBe('offline');
      expect(source.note).toMatch(state === 'fails' ? /does not answer: no network/ : /no answer within 50 ms/);
      // What the identity of a cache needs, from memory.
      expect(await source.size('model.safetensors')).toBe(files()['model.safetensors']!.length);
      expect(source.version('model.safetensors')).toBe('etag "w"');
    }
    network.state = 'fails';
    const source = await metadataSource(network, blobs);
    await expect(readWeights(source)).rejects.toThrow(/no network/);
    await expect(source.size('other.json')).rejects.toThrow(SourceError);
  });

  test.each<[string, (network: Network) => void, RegExp]>([
    ['the size of config.json', (n) => (n.files['config.json'] = text('{"model_type":"xy"}')), /had 18 bytes, has 19/],
    ['its content', (n) => (n.files['config.json'] = text('{"model_type":"y"}')), /other content/],
    ['its version', (n) => (n.versions['config.json'] = 'etag "2"'), /etag "1", now etag "2"/],
    ['an index that appears', (n) => (n.files['model.safetensors.index.json'] = text('{}')), /did not exist, has 2/],
    ['config.json that is gone', (n) => delete n.files['config.json'], /has no bytes/],
  ])('notices %s', async (what, change, note) => {
    const { network, blobs } = await visited(what === 'its version' ? { 'config.json': 'etag "1"' } : {});
    change(network);
    const source = await metadataSource(network, blobs);
    expect([source.freshness, source.note]).toEqual(['changed', expect.stringMatching(note)]);
    network.asked.length = 0;
    await source.size('model.safetensors');
    expect(network.asked).toEqual(['size model.safetensors']); // nothing old is used
  });

  test('keeps what it read anew', async () => {
    const { network, blobs } = await visited();
    network.files['config.json'] = text('{"model_type":"y"}');
    expect((await visit(network, blobs)).freshness).toBe('changed');
    network.state = 'fails';
    const third = await metadataSource(network, blobs);
    expect(await readBytes(third, 'config.json', 0, 18)).toEqual(text('{"model_type":"y"}'));
  });

  test('serves parts of what was read, and asks for what was not', async () => {
    const { network, blobs } = await visited({ 'config.json': 'etag "1"' });
    const source = await metadataSource(network, blobs);
    network.asked.length = 0;
    expect(await readBytes(source, 'config.json', 2, 7)).toEqual(text('model'));
    expect(await readBytes(source, 'config.json', 5, 5)).toHaveLength(0);
    expect(network.asked).toEqual([]);
    expect(await readWeights(source)).toEqual(END);
    expect(network.asked[0]).toMatch(/^model\.safetensors \d+-\d+$/);
  });

  test('of another source, or with a damaged blob, is a first one', async () => {
    const { network, blobs } = await visited();
    const other = Object.assign(new Network(), { label: 'https://example.org/other/' });
    expect((await metadataSource(other, blobs)).freshness).toBe('new');
    await blobs.writeBlob('metadata', text('nonsense'));
    expect((await metadataSource(network, blobs)).freshness).toBe('new');
  });

  test('can be aborted while it checks', async () => {
    const { network, blobs } = await visited();
    network.state = 'hangs';
    const controller = new AbortController();
    const opening = metadataSource(network, blobs, { checkMs: 60_000, signal: controller.signal });
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(opening).rejects.toBe(reason);
  });
});

test('offline with a complete cache: the remembered description opens it, and every record is there', async () => {
  const root = memoryFolder();
  const records = [{ name: 'dense', recordBytes: 4096, count: 3 }];
  const open = async (network: Network): Promise<[MetadataSource, RecordCache]> => {
    const source = await metadataSource(network, await sourceBlobs(root, network.label, null), { checkMs: 50 });
    const shards = await describeModel(source);
    await source.save();
    const identity = {
      source: source.label,
      revision: null,
      precision: 'q4',
      format: '',
      recordVersion: 1,
      files: shards.map(({ name, bytes }) => ({ name, bytes, version: source.version(name) })),
    };
    return [source, await openRecordCache(root, identity, records)];
  };
  const online = new Network();
  online.versions = { 'config.json': 'etag "1"', 'model.safetensors': 'etag "w"' };
  const [, first] = await open(online);
  for (let i = 0; i < 3; i++) await first.write('dense', i, weights.subarray(i * 4096, (i + 1) * 4096));
  await first.close();

  const offline = new Network();
  offline.state = 'fails';
  const [source, second] = await open(offline);
  expect([source.freshness, second.replaced, second.isComplete]).toEqual(['offline', null, true]);
  const into = new Uint8Array(4096);
  for (let i = 0; i < 3; i++) {
    expect(await second.read('dense', i, into)).toBe(true);
    expect(into).toEqual(weights.subarray(i * 4096, (i + 1) * 4096));
  }
  expect(second.identity.files[0]!.version).toBe('etag "w"');
});

describe('a shard that changed', () => {
  test.each<[string, (network: Network) => void]>([
    ['becoming shorter', (n) => (n.files['model.safetensors'] = new Uint8Array(5000))],
    ['becoming longer', (n) => (n.files['model.safetensors'] = new Uint8Array(500_000))],
    ['another version', (n) => (n.versions['model.safetensors'] = 'etag "b"')],
  ])('by %s is noticed before any of it is used, and the next load starts anew', async (_, change) => {
    const { network, blobs } = await visited({ 'model.safetensors': 'etag "a"', 'config.json': 'etag "1"' });
    change(network);
    const source = await visit(network, blobs);
    expect(source.freshness).toBe('fresh');
    await expect(readWeights(source)).rejects.toThrow(SourceError);
    await expect(readWeights(source)).rejects.toThrow(/model\.safetensors changed since the model was kept: load/);
    expect((await metadataSource(network, blobs)).freshness).toBe('new');
  });

  test('whose version is hidden now passes', async () => {
    const { network, blobs } = await visited({ 'model.safetensors': 'etag "a"' });
    network.versions = {};
    expect(await readWeights(await visit(network, blobs))).toEqual(END);
  });
});

describe('what is remembered', () => {
  test('is what was read before save, whole reads only, within a bound', async () => {
    const network = new Network();
    const blobs = await blobsOf();
    const first = await metadataSource(network, blobs, { maxBytes: 30 });
    await readBytes(first, 'config.json', 0, 18);
    for await (const piece of first.stream('model.safetensors', 0, 8)) {
      expect(piece.length).toBe(8);
      break; // not read to the end
    }
    await readBytes(first, 'model.safetensors', 0, 20); // no room
    expect(await first.save()).toBe(true);
    await readBytes(first, 'model.safetensors', 0, 4); // too late
    const again = new Network();
    again.state = 'fails';
    const source = await metadataSource(again, blobs);
    expect(await readBytes(source, 'config.json', 0, 18)).toEqual(files()['config.json']);
    for (const end of [4, 8, 20]) await expect(readBytes(source, 'model.safetensors', 0, end)).rejects.toThrow();
  });

  test('without room is nothing, and reading goes on', async () => {
    const blobs = await sourceBlobs(memoryFolder(50), 'm', null);
    const source = await metadataSource(new Network(), blobs);
    await describeModel(source);
    expect(await source.save()).toBe(false);
    expect(await readWeights(source)).toEqual(END);
  });

  test('goes to disk and back, and nonsense does not come back', () => {
    const reads = newReads('m');
    reads.files.set('a', { size: 10, version: 'etag "a"', ranges: [{ begin: 2, bytes: Uint8Array.of(1, 2, 3) }] });
    reads.files.set('b', { size: null, version: null, ranges: [] });
    const blob = encodeReads(reads);
    expect(decodeReads(blob)).toEqual(reads);
    for (let cut = 0; cut < blob.length; cut++) expect(decodeReads(blob.slice(0, cut))).toBeNull();
    expect(decodeReads(new Uint8Array([...blob, 0]))).toBeNull();
  });
});

test('over HTTP, through blocks: the second visit asks for two probes', async () => {
  const server = await faultServer(files());
  try {
    const blobs = await blobsOf();
    const open = (): Promise<MetadataSource> => metadataSource(blockSource(httpSource(server.url)), blobs);
    const first = await open();
    await describeModel(first);
    await first.save();
    const asked = server.requests.length;
    const second = await open();
    await describeModel(second);
    expect(second.freshness).toBe('fresh');
    expect(server.requests.length - asked).toBeLessThanOrEqual(3);
    expect(await readWeights(second)).toEqual(END);
  } finally {
    await server.close();
  }
});
