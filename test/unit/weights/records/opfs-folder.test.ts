/** The browser's folders on a file system in memory, and folders with faults, which the shared cases must catch. */
import { describe, expect, it } from 'vitest';
import { QuotaExceeded, StorageError } from '../../../../src/errors.ts';
import type { RecordFile, RecordFolder } from '../../../../src/weights/records/folder.ts';
import { opfsAsyncFolder } from '../../../../src/weights/records/opfs-async-folder.ts';
import { opfsFolder } from '../../../../src/weights/records/opfs-folder.ts';
import { fromWire, toWire } from '../../../../src/weights/records/opfs-protocol.ts';
import { fakeOpfs, type FakeOpfsOptions } from '../../../support/fake-opfs.ts';
import { folderCases, pattern } from '../../../support/record-folder-cases.ts';

const makers = { 'sync handles': opfsFolder, asynchronous: opfsAsyncFolder };
const make = async (maker: keyof typeof makers, options?: FakeOpfsOptions): Promise<RecordFolder> => {
  const root = fakeOpfs(options);
  return makers[maker](['top'], async () => root);
};
const bytesOf = async (file: RecordFile): Promise<number[]> => {
  const into = new Uint8Array(await file.size());
  await file.read(into, 0);
  return [...into];
};

describe.each(['sync handles', 'asynchronous'] as const)('%s', (maker) => {
  it.each(folderCases)('$name', async ({ run }) => {
    await run(await make(maker));
  });
});

describe('sync handles', () => {
  it('that move few bytes at a time are asked again', async () => {
    for (const { run } of folderCases.slice(0, 7)) await run(await make('sync handles', { mostBytes: 97 }));
  });

  it('that write nothing any more mean that there is no room', async () => {
    const file = (await (await make('sync handles', { roomBytes: 150 })).open('a', { create: true }))!;
    await file.write(pattern(100), 0);
    await expect(file.write(pattern(100), 100)).rejects.toThrow(QuotaExceeded);
    expect((await bytesOf(file)).slice(0, 100)).toEqual([...pattern(100)]);
  });

  it.each(['InvalidStateError', 'NoModificationAllowedError'])('that throw %s once are asked again', async (name) => {
    let opened = 0;
    const folder = await make('sync handles', {
      onOpen: () => {
        if (opened++ === 0) throw new DOMException('not now', name);
      },
    });
    const file = (await folder.open('a', { create: true }))!;
    await file.write(pattern(10), 0);
    expect(opened).toBe(2);
  });

  it('that are never to be had name the file and what to do', async () => {
    const throwing = (error: Error): Promise<RecordFolder> =>
      make('sync handles', {
        onOpen: () => {
          throw error;
        },
      });
    const held = await throwing(new DOMException('held', 'NoModificationAllowedError'));
    await expect(held.open('a', { create: true })).rejects.toMatchObject({
      reason: 'in-use',
      details: { file: 'top/a' },
      message: expect.stringMatching(/^top\/a .*close that tab/),
    });
    const file = (await held.open('a'))!;
    expect(await file.size()).toBe(0);
    await expect(file.write(pattern(1), 0)).rejects.toMatchObject({ reason: 'in-use' });
    await expect(file.truncate(1)).rejects.toMatchObject({ reason: 'in-use' });
    await held.close();

    const stale = await throwing(new DOMException('stale', 'InvalidStateError'));
    await expect(stale.open('a', { create: true })).rejects.toMatchObject({ reason: 'failed' });
    const unknown = await throwing(new DOMException('odd', 'UnknownError'));
    await expect(unknown.open('a', { create: true })).rejects.toThrow(StorageError);
    const ours = await throwing(new TypeError('a mistake of ours'));
    await expect(ours.open('a', { create: true })).rejects.toThrow(TypeError);
  });
});

describe('asynchronous', () => {
  it('commits on flush, on close, and when what is not committed is read', async () => {
    const root = fakeOpfs();
    const folder = await opfsAsyncFolder(['top'], async () => root);
    const onDisk = async (): Promise<number> =>
      (await (await (await root.getDirectoryHandle('top')).getFileHandle('a')).getFile()).size;
    const file = (await folder.open('a', { create: true }))!;
    await file.write(pattern(1000), 0);
    expect([await onDisk(), await file.size()]).toEqual([0, 1000]);
    await file.flush();
    expect(await onDisk()).toBe(1000);
    await file.write(pattern(1000), 1000);
    await file.read(new Uint8Array(1000), 0);
    expect(await onDisk()).toBe(1000);
    await file.read(new Uint8Array(1001), 0);
    expect(await onDisk()).toBe(2000);
    await file.truncate(500);
    expect(await onDisk()).toBe(2000);
    await file.close();
    expect(await onDisk()).toBe(500);
  });
});

it('orphans of killed writers are deleted, and never listed', async () => {
  const root = fakeOpfs();
  const top = await root.getDirectoryHandle('top', { create: true });
  for (const name of ['a', 'a.crswap']) await top.getFileHandle(name, { create: true });
  const folder = await opfsFolder(['top'], async () => root);
  expect(await folder.list()).toEqual([{ name: 'a', bytes: 0 }]);
  await expect(top.getFileHandle('a.crswap')).rejects.toThrow(/no such entry/);
});

it.each(['', '.', '..', 'a/b', 'a\\b', 'a\0', 'a.crswap'])('the name %j is refused', async (name) => {
  const folder = await make('sync handles');
  await expect(folder.open(name, { create: true })).rejects.toThrow(/internal error/);
  await expect(folder.remove(name)).rejects.toThrow(/internal error/);
  await expect(folder.folder(name)).rejects.toThrow(/internal error/);
});

it('errors keep class, code, reason and details on their way from the worker', () => {
  const full = fromWire(structuredClone(toWire(new QuotaExceeded('full', { file: 'a' }))));
  expect(full).toBeInstanceOf(QuotaExceeded);
  expect(full).toMatchObject({ code: 'quota-exceeded', reason: 'quota', message: 'full', details: { file: 'a' } });
  const used = fromWire(structuredClone(toWire(new StorageError('in-use', 'used', { file: 'a' }))));
  expect(used).toBeInstanceOf(StorageError);
  expect(used).toMatchObject({ code: 'storage', reason: 'in-use', details: { file: 'a' } });
  expect(fromWire(structuredClone(toWire(new TypeError('ours'))))).toMatchObject({
    name: 'TypeError',
    message: 'ours',
  });
});

describe('the cases catch a folder', () => {
  type Fault = (file: RecordFile) => Partial<RecordFile>;
  const fileFaults: Readonly<Record<string, Fault>> = {
    'that reads one byte late': (file) => ({ read: (into, at) => file.read(into, at + 1) }),
    'that says it filled the view': (file) => ({
      read: async (into, at) => (await file.read(into, at), into.length),
    }),
    'that reads only the first 4 KiB': (file) => ({ read: (into, at) => file.read(into.subarray(0, 4096), at) }),
    'that reads into the whole buffer': (file) => ({
      read: (into, at) => file.read(new Uint8Array(into.buffer), at),
    }),
    'that writes the whole buffer': (file) => ({ write: (bytes, at) => file.write(new Uint8Array(bytes.buffer), at) }),
    'that drops the last byte': (file) => ({ write: (bytes, at) => file.write(bytes.subarray(0, -1), at) }),
    'that takes the buffer away': (file) => ({
      write: async (bytes, at) => {
        await file.write(bytes, at);
        structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] });
      },
    }),
    'that keeps a view instead of a copy': (file) => {
      let last: { bytes: Uint8Array; at: number } | null = null;
      return {
        write: async (bytes, at) => {
          await file.write(bytes, at);
          last = { bytes, at };
        },
        read: async (into, at) => {
          if (last) await file.write(last.bytes, last.at);
          return file.read(into, at);
        },
      };
    },
    'that cannot shrink': (file) => ({
      truncate: async (bytes) => {
        if (bytes > (await file.size())) await file.truncate(bytes);
      },
    }),
    'that cannot grow': (file) => ({
      truncate: async (bytes) => {
        if (bytes < (await file.size())) await file.truncate(bytes);
      },
    }),
    'whose reads overtake writes': (file) => ({
      write: async (bytes, at) => {
        const copy = bytes.slice();
        await new Promise((resolve) => setTimeout(resolve, 2));
        await file.write(copy, at);
      },
    }),
    'that is never closed': () => ({ close: async () => undefined }),
  };
  const wrap = (folder: RecordFolder, fault: Fault): RecordFolder => ({
    kind: folder.kind,
    label: folder.label,
    open: async (name, options) => {
      const file = await folder.open(name, options);
      if (!file) return null;
      const whole: RecordFile = {
        size: () => file.size(),
        read: (into, at) => file.read(into, at),
        write: (bytes, at) => file.write(bytes, at),
        truncate: (bytes) => file.truncate(bytes),
        flush: () => file.flush(),
        close: () => file.close(),
      };
      return { ...whole, ...fault(file) };
    },
    list: () => folder.list(),
    remove: (name) => folder.remove(name),
    folder: async (name) => wrap(await folder.folder(name), fault),
    folders: () => folder.folders(),
    removeFolder: (name) => folder.removeFolder(name),
    close: () => folder.close(),
  });
  const folderFaults: Readonly<Record<string, (folder: RecordFolder) => Partial<RecordFolder>>> = {
    'that makes every file': (folder) => ({ open: (name) => folder.open(name, { create: true }) }),
    'that lists folders too': (folder) => ({
      list: async () => [...(await folder.list()), ...(await folder.folders()).map((name) => ({ name, bytes: 0 }))],
    }),
    'that lists no sizes': (folder) => ({
      list: async () => (await folder.list()).map(({ name }) => ({ name, bytes: 0 })),
    }),
    'that removes nothing': () => ({ remove: async () => undefined }),
    'that minds missing files': (folder) => ({
      remove: async (name) => {
        if (!(await folder.open(name))) throw new Error('missing');
        await folder.remove(name);
      },
    }),
    'that removes no folders': () => ({ removeFolder: async () => undefined }),
    'whose folders are one': (folder) => ({ folder: () => folder.folder('same') }),
    'that is never closed': (folder) => ({
      folder: async (name) => wrapFolder(await folder.folder(name), () => ({ close: async () => undefined })),
    }),
  };
  const wrapFolder = (folder: RecordFolder, fault: (folder: RecordFolder) => Partial<RecordFolder>): RecordFolder => ({
    ...wrap(folder, () => ({})),
    ...fault(folder),
  });

  const caught = async (wrapped: () => Promise<RecordFolder>): Promise<string[]> => {
    const names: string[] = [];
    for (const { name, run } of folderCases.filter((c) => !c.name.includes('64 MiB'))) {
      await run(await wrapped()).catch(() => names.push(name));
    }
    return names;
  };

  it.each(Object.entries(fileFaults))('with a file %s', async (_, fault) => {
    expect(await caught(async () => wrap(await make('sync handles'), fault))).not.toEqual([]);
  });
  it.each(Object.entries(folderFaults))('%s', async (_, fault) => {
    expect(await caught(async () => wrapFolder(await make('sync handles'), fault))).not.toEqual([]);
  });
  it('and none without a fault', async () => {
    expect(await caught(async () => wrap(await make('sync handles'), () => ({})))).toEqual([]);
  });
});
