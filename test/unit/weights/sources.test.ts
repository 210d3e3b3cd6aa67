/** Sources other than HTTP: a folder on disk, picked files, and small reads joined into blocks. */
import { mkdtemp, open, rm, symlink, truncate, utimes, writeFile, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { InvalidCheckpoint, InvalidRequest, SourceError } from '../../../src/errors.ts';
import { blockSource } from '../../../src/weights/block-source.ts';
import { openCheckpoint } from '../../../src/weights/checkpoint.ts';
import { filesSource } from '../../../src/weights/files-source.ts';
import { findVector } from '../../../src/weights/formats/index.ts';
import { pathSource } from '../../../src/weights/node-source.ts';
import { readBytes, type ByteSource } from '../../../src/weights/source.ts';
import { bytesOf, memorySource, rawFile, safetensors } from '../../support/weights.ts';

const data = Uint8Array.from({ length: 10_000 }, (_, i) => i * 31);
const text = (s: string): Uint8Array => new TextEncoder().encode(s);
const reason = new Error('enough');

let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'webmoe-'));
  await writeFile(join(dir, 'data.bin'), data);
  await mkdir(join(dir, 'sub'));
});
afterAll(() => rm(dir, { recursive: true }));

describe('pathSource', () => {
  test('sizes and bytes', async () => {
    const source = pathSource(dir);
    expect(source.label).toBe(dir);
    expect(await source.size('data.bin')).toBe(10_000);
    expect(await source.size('none.bin')).toBeNull();
    expect(await source.size('data.bin/x')).toBeNull();
    expect(await readBytes(source, 'data.bin', 17, 9_999)).toEqual(data.slice(17, 9_999));
    expect((await readBytes(source, 'data.bin', 5, 5)).length).toBe(0);
  });

  test('failures are typed', async () => {
    const source = pathSource(dir);
    await expect(readBytes(source, 'data.bin', 9_000, 10_001)).rejects.toThrow(/ends at byte 10000/);
    await expect(readBytes(source, 'none.bin', 0, 1)).rejects.toThrow(SourceError);
    await expect(source.size('sub')).rejects.toThrow(/not a file/);
    await expect(pathSource(join(dir, 'nowhere')).size('x')).rejects.toThrow(/not a folder/);
    await expect(pathSource(join(dir, 'data.bin')).size('x')).rejects.toThrow(/not a folder/);
    await expect(source.size('../data.bin')).rejects.toThrow(InvalidCheckpoint);
    await expect(readBytes(source, '/etc/passwd', 0, 1)).rejects.toThrow(InvalidCheckpoint);
    await expect(readBytes(source, 'data.bin', 0, 1, AbortSignal.abort(reason))).rejects.toBe(reason);
    await expect(source.size('data.bin', AbortSignal.abort(reason))).rejects.toBe(reason);
  });

  test('links are followed, as in the cache of the Hub', async () => {
    await symlink(join(dir, 'data.bin'), join(dir, 'link.bin'));
    expect(await readBytes(pathSource(dir), 'link.bin', 0, 10)).toEqual(data.slice(0, 10));
  });

  test('a file that changes', async () => {
    await writeFile(join(dir, 'changing.bin'), data);
    const source = pathSource(dir);
    await readBytes(source, 'changing.bin', 0, 10);
    await utimes(join(dir, 'changing.bin'), 1, 1);
    await expect(readBytes(source, 'changing.bin', 0, 10)).rejects.toThrow(/changed while it was read/);
    await expect(source.size('changing.bin')).rejects.toThrow(/changed while it was read/);
  });

  test('a version tells two states of a file apart', async () => {
    await writeFile(join(dir, 'versioned.bin'), data);
    await utimes(join(dir, 'versioned.bin'), 1, 1);
    const before = pathSource(dir);
    expect(before.version!('versioned.bin')).toBeNull();
    await before.size('versioned.bin');
    expect(before.version!('versioned.bin')).toBe('modified 1000');
    await utimes(join(dir, 'versioned.bin'), 1, 2);
    const after = pathSource(dir);
    await readBytes(after, 'versioned.bin', 0, 1);
    expect(after.version!('versioned.bin')).toBe('modified 2000');
  });

  test('a file that changes while a range of it is read', async () => {
    const path = join(dir, 'large.bin');
    await writeFile(path, new Uint8Array(9_000_000));
    const source = pathSource(dir);
    const read = async (): Promise<void> => {
      for await (const piece of source.stream('large.bin', 0, 9_000_000)) {
        expect(piece.length).toBeLessThan(9_000_000);
        await utimes(path, 1, 1);
      }
    };
    await expect(read()).rejects.toThrow(/changed while it was read/);
  });

  test('O16: a file above 4 GiB, in pieces that stay small', async () => {
    const far = 2 ** 32 + 4096;
    const values = Float32Array.of(1.5, -2, 3);
    const header = `{"pad":{"dtype":"U8","shape":[2,${far / 2}],"data_offsets":[0,${far}]},"v":{"dtype":"F32","shape":[3],"data_offsets":[${far},${far + 12}]}}`;
    const head = rawFile(header);
    const file = join(dir, 'model.safetensors');
    await writeFile(file, head);
    await truncate(file, head.length + far + 12);
    const handle = await open(file, 'r+');
    await handle.write(bytesOf(values), 0, 12, head.length + far);
    await handle.close();

    const checkpoint = await openCheckpoint(pathSource(dir));
    expect([...(await findVector(checkpoint, 'v', 3)())]).toEqual([...values]);
    const { begin } = checkpoint.tensor('pad');
    let total = 0;
    for await (const piece of checkpoint.source.stream('model.safetensors', begin, begin + 20e6)) {
      expect(piece.length).toBeLessThanOrEqual(4 * 2 ** 20);
      total += piece.length;
    }
    expect(total).toBe(20e6);
  });
});

describe('filesSource', () => {
  const file = (path: string, bytes: Uint8Array = data): File => {
    const made = new File([bytesOf(bytes)], path.split('/').at(-1)!);
    Object.defineProperty(made, 'webkitRelativePath', { value: path.includes('/') ? path : '' });
    return made;
  };

  test('a picked folder loses its common top', async () => {
    const source = filesSource([file('models/m/config.json', text('{}')), file('models/m/sub/data.bin')]);
    expect(await source.size('config.json')).toBe(2);
    expect(await source.size('models/m/config.json')).toBeNull();
    expect(await readBytes(source, 'sub/data.bin', 3, 9_000)).toEqual(data.slice(3, 9_000));
  });

  test('a version is the time of the last change, which only files have', () => {
    const source = filesSource([new File([bytesOf(data)], 'a.bin', { lastModified: 5 })]);
    expect([source.version!('a.bin'), source.version!('b.bin')]).toEqual(['modified 5', null]);
    expect(filesSource(new Map([['a.bin', new Blob([])]])).version!('a.bin')).toBeNull();
  });

  test('single files, and a map', async () => {
    expect(await filesSource([file('config.json')]).size('config.json')).toBe(10_000);
    const source = filesSource(new Map([['a/b.bin', new Blob([bytesOf(data)])]]));
    expect(await readBytes(source, 'a/b.bin', 0, 10_000)).toEqual(data);
  });

  test('failures are typed', async () => {
    expect(() => filesSource([])).toThrow(InvalidRequest);
    expect(() => filesSource([file('a.bin'), file('a.bin')])).toThrow(/called a\.bin/);
    const source = filesSource([file('a.bin')]);
    await expect(readBytes(source, 'b.bin', 0, 1)).rejects.toThrow(SourceError);
    await expect(readBytes(source, 'a.bin', 0, 10_001)).rejects.toThrow(SourceError);
    await expect(readBytes(source, 'a.bin', 0, 1, AbortSignal.abort(reason))).rejects.toBe(reason);
    const gone = file('a.bin');
    gone.slice = () =>
      ({ arrayBuffer: () => Promise.reject(new DOMException('x', 'NotReadableError')) }) as unknown as Blob;
    await expect(readBytes(filesSource([gone]), 'a.bin', 0, 1)).rejects.toThrow(/Choose it again/);
  });

  test('a model', async () => {
    const model = safetensors({ a: { dtype: 'U8', shape: [3], bytes: Uint8Array.of(1, 2, 3) } });
    expect((await openCheckpoint(filesSource([file('m/model.safetensors', model)]))).has('a')).toBe(true);
  });
});

describe('blockSource', () => {
  test('many small reads, few requests', async () => {
    const inner = memorySource({ f: data });
    const source = blockSource(inner, { blockBytes: 4096, blocks: 2 });
    for (let at = 0; at < 9_900; at += 90) {
      expect(await readBytes(source, 'f', at, at + 100)).toEqual(data.slice(at, at + 100));
    }
    expect(inner.reads).toEqual(['f 0-4096', 'f 4096-8192', 'f 8192-10000']);
    await readBytes(source, 'f', 4000, 4200);
    expect(inner.reads.length).toBe(5); // the first block had to make room; the second followed it
    await readBytes(source, 'f', 100, 5000);
    expect(inner.reads.at(-1)).toBe('f 100-5000');
    expect(await source.size('f')).toBe(10_000);
  });

  test('readers at the same time share a block; the last abort stops it', async () => {
    const started: AbortSignal[] = [];
    const inner = memorySource({ f: data });
    const slow: ByteSource = {
      ...inner,
      async *stream(file, begin, end, signal) {
        started.push(signal!);
        await new Promise((resolve, reject) => {
          setTimeout(resolve, 30);
          signal?.addEventListener('abort', () => reject(signal.reason as Error));
        });
        yield* inner.stream(file, begin, end);
      },
    };
    const source = blockSource(slow, { blockBytes: 4096 });
    const [one, two] = [new AbortController(), new AbortController()];
    const a = readBytes(source, 'f', 0, 10, one.signal);
    const b = readBytes(source, 'f', 10, 20);
    await new Promise((resolve) => setTimeout(resolve, 5));
    one.abort(reason);
    await expect(a).rejects.toBe(reason);
    expect(await b).toEqual(data.slice(10, 20));
    expect(started.length).toBe(1);

    const c = readBytes(source, 'f', 5000, 5010, two.signal);
    await new Promise((resolve) => setTimeout(resolve, 5));
    two.abort(reason);
    await expect(c).rejects.toBe(reason);
    expect(started.map((s) => s.aborted)).toEqual([false, true]);
    expect(await readBytes(source, 'f', 5000, 5010)).toEqual(data.slice(5000, 5010));
  });

  test('a failure is not kept', async () => {
    const inner = memorySource({ f: data });
    let broken = true;
    const flaky: ByteSource = {
      ...inner,
      stream: (file, begin, end) => {
        if (broken) throw new SourceError('down');
        return inner.stream(file, begin, end);
      },
    };
    const source = blockSource(flaky);
    await expect(readBytes(source, 'f', 0, 10)).rejects.toThrow('down');
    broken = false;
    expect(await readBytes(source, 'f', 0, 10)).toEqual(data.slice(0, 10));
    await expect(readBytes(source, 'f', 9_999, 10_001)).rejects.toThrow();
  });

  test('a source that gives too few bytes is found out', async () => {
    const inner = memorySource({ f: data });
    const short: ByteSource = { ...inner, stream: (file, begin, end) => inner.stream(file, begin, end - 1) };
    await expect(readBytes(short, 'f', 0, 10)).rejects.toThrow(SourceError);
  });
});
