/**
 * What every RecordFolder must do. The cases need no test runner, so that pages and workers can run them too. Each gets an empty folder and throws
 * when something is wrong; test/unit/weights/records/opfs-folder.test.ts shows that broken folders fail.
 */
import type { RecordFile, RecordFolder } from '../../src/weights/records/folder.ts';

export interface FolderCase {
  readonly name: string;
  run(folder: RecordFolder): Promise<void>;
}

const MIB = 2 ** 20;

export function equal(actual: unknown, expected: unknown, what: string): void {
  const [a, e] = [actual, expected].map((value) =>
    value instanceof Uint8Array && value.length > 32 ? 'bytes' : JSON.stringify(value),
  );
  if (actual instanceof Uint8Array && expected instanceof Uint8Array) {
    const at = actual.length === expected.length ? actual.findIndex((byte, i) => byte !== expected[i]) : -2;
    if (at !== -1) throw new Error(`${what}: byte ${at} differs, lengths ${actual.length} and ${expected.length}`);
  } else if (a !== e) throw new Error(`${what}: ${a} instead of ${e}`);
}

/** Only the code: minifiers change names of classes. */
async function codeOf(action: Promise<unknown>, what: string): Promise<unknown> {
  try {
    await action;
  } catch (error) {
    return (error as { readonly code?: unknown }).code;
  }
  throw new Error(`${what}: nothing was thrown`);
}

/** Bytes that depend on their place, so that a shift shows. */
export function pattern(bytes: number, seed = 1): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(bytes / 4));
  for (let i = 0, x = seed * 0x9e3779b9; i < words.length; i++) {
    x = (Math.imul(x ^ (x >>> 15), 0x2c1b3c6d) + i) | 0;
    words[i] = x;
  }
  return new Uint8Array(words.buffer, 0, bytes);
}

async function make(folder: RecordFolder, name: string): Promise<RecordFile> {
  const file = await folder.open(name, { create: true });
  if (!file) throw new Error(`${name} was not made`);
  return file;
}

async function contents(file: RecordFile): Promise<Uint8Array> {
  const into = new Uint8Array(await file.size());
  equal(await file.read(into, 0), into.length, 'bytes read');
  return into;
}

const names = async (folder: RecordFolder): Promise<string[]> => (await folder.list()).map(({ name }) => name).sort();

export const folderCases: readonly FolderCase[] = [
  {
    name: 'a file that is missing is null, and is not made',
    async run(folder: RecordFolder): Promise<void> {
      equal(await folder.open('missing'), null, 'open');
      equal(await folder.open('missing', { create: false }), null, 'open');
      equal(await names(folder), [], 'list');
    },
  },
  {
    name: 'reads what was written, and stops at the end',
    async run(folder: RecordFolder): Promise<void> {
      const file = await make(folder, 'a');
      equal(await file.size(), 0, 'size');
      equal(await file.read(new Uint8Array(8), 0), 0, 'bytes of an empty file');
      await file.write(pattern(1000), 0);
      equal(await file.size(), 1000, 'size');
      equal(await contents(file), pattern(1000), 'contents');
      const into = new Uint8Array(64).fill(7);
      equal(await file.read(into, 990), 10, 'bytes at the end');
      equal(into.subarray(0, 10), pattern(1000).subarray(990), 'the last bytes');
      equal(into.subarray(10), new Uint8Array(54).fill(7), 'what lies behind');
      equal(await file.read(into, 1000), 0, 'bytes at the very end');
      equal(await file.read(into, 5000), 0, 'bytes past the end');
      equal(await file.read(new Uint8Array(0), 0), 0, 'no bytes');
    },
  },
  {
    name: 'touches nothing but the view it is given, and leaves written bytes alone',
    async run(folder: RecordFolder): Promise<void> {
      const file = await make(folder, 'a');
      const whole = pattern(300);
      await file.write(whole.subarray(100, 200), 0);
      equal(whole, pattern(300), 'what was written');
      const into = new Uint8Array(300).fill(9);
      equal(await file.read(into.subarray(50, 150), 0), 100, 'bytes');
      equal(into.subarray(0, 50), new Uint8Array(50).fill(9), 'before the view');
      equal(into.subarray(50, 150), pattern(300).subarray(100, 200), 'in the view');
      equal(into.subarray(150), new Uint8Array(150).fill(9), 'behind the view');
    },
  },
  {
    name: 'keeps its own copy: bytes may change once write has returned',
    async run(folder: RecordFolder): Promise<void> {
      const file = await make(folder, 'a');
      const bytes = pattern(100);
      await file.write(bytes, 0);
      bytes.fill(0);
      equal(await contents(file), pattern(100), 'contents');
    },
  },
  {
    name: 'writes over, in the middle, and far behind the end',
    async run(folder: RecordFolder): Promise<void> {
      const file = await make(folder, 'a');
      await file.write(pattern(100), 0);
      await file.write(new Uint8Array(10).fill(1), 50);
      await file.write(new Uint8Array([1, 2, 3]), 5000);
      const expected = new Uint8Array(5003);
      expected.set(pattern(100));
      expected.fill(1, 50, 60);
      expected.set([1, 2, 3], 5000);
      equal(await contents(file), expected, 'contents');
    },
  },
  {
    name: 'truncate cuts, and lengthens with zeros',
    async run(folder: RecordFolder): Promise<void> {
      const file = await make(folder, 'a');
      await file.write(pattern(100), 0);
      await file.truncate(40);
      equal(await file.size(), 40, 'size when cut');
      await file.truncate(80);
      const expected = new Uint8Array(80);
      expected.set(pattern(40));
      equal(await contents(file), expected, 'contents');
      await file.flush();
      equal(await contents(file), expected, 'contents after flush');
      await file.truncate(0);
      equal(await file.size(), 0, 'size when emptied');
    },
  },
  {
    name: 'random writes, truncations, flushes and reads agree with an array',
    async run(folder: RecordFolder): Promise<void> {
      const file = await make(folder, 'a');
      let mirror = new Uint8Array(0);
      let state = 12345;
      const random = (below: number): number => {
        state = (Math.imul(state, 1103515245) + 12345) >>> 0;
        return Math.floor((state / 2 ** 32) * below);
      };
      for (let step = 0; step < 120; step++) {
        const at = random(9000);
        const kind = random(10);
        if (kind < 5) {
          const bytes = pattern(random(4000), step + 1);
          await file.write(bytes, at);
          if (bytes.length > 0) {
            const next = new Uint8Array(Math.max(mirror.length, at + bytes.length));
            next.set(mirror);
            next.set(bytes, at);
            mirror = next;
          }
        } else if (kind < 6) {
          await file.truncate(at);
          const next = new Uint8Array(at);
          next.set(mirror.subarray(0, at));
          mirror = next;
        } else if (kind < 7) await file.flush();
        const into = new Uint8Array(random(5000));
        const from = random(10_000);
        const bytes = await file.read(into, from);
        const expected = mirror.subarray(from, from + into.length);
        equal(bytes, expected.length, `step ${step}: bytes read at ${from}`);
        equal(into.subarray(0, bytes), expected, `step ${step}: read at ${from}`);
        equal(await file.size(), mirror.length, `step ${step}: size`);
      }
    },
  },
  {
    name: 'calls that nobody waited for happen in order',
    async run(folder: RecordFolder): Promise<void> {
      const file = await make(folder, 'a');
      const into = Array.from({ length: 8 }, () => new Uint8Array(5000));
      const calls: Promise<unknown>[] = [];
      for (const [i, view] of into.entries()) {
        calls.push(file.write(pattern(5000, i + 1), 0), file.read(view, 0));
      }
      const last = new Uint8Array(10);
      calls.push(file.truncate(4000), file.read(last, 3995));
      const results = await Promise.all(calls);
      equal(results.at(-1), 5, 'bytes after truncate');
      for (const [i, view] of into.entries()) equal(view, pattern(5000, i + 1), `read ${i}`);
    },
  },
  {
    name: 'several files and many reads at once',
    async run(folder: RecordFolder): Promise<void> {
      const files = await Promise.all(['a', 'b', 'c'].map((name) => make(folder, name)));
      await Promise.all(files.map((file, i) => file.write(pattern(50_000, i + 1), 0)));
      await Promise.all(
        files.flatMap((file, i) =>
          Array.from({ length: 20 }, async (_, n) => {
            const into = new Uint8Array(3000);
            equal(await file.read(into, n * 2000), 3000, 'bytes');
            equal(into, pattern(50_000, i + 1).subarray(n * 2000, n * 2000 + 3000), `file ${i}, read ${n}`);
          }),
        ),
      );
    },
  },
  {
    name: 'a file is as it was when it is opened again',
    async run(folder: RecordFolder): Promise<void> {
      const first = await make(folder, 'a');
      await first.write(pattern(100), 0);
      await first.close();
      await first.close();
      const again = await folder.open('a');
      if (!again) throw new Error('the file is gone');
      equal(await contents(again), pattern(100), 'contents');
      await again.close();
      const created = await make(folder, 'a');
      equal(await contents(created), pattern(100), 'contents after create');
    },
  },
  {
    name: 'a closed file refuses',
    async run(folder: RecordFolder): Promise<void> {
      const file = await make(folder, 'a');
      await file.write(pattern(10), 0);
      await file.close();
      const calls: [string, () => Promise<unknown>][] = [
        ['size', () => file.size()],
        ['read', () => file.read(new Uint8Array(4), 0)],
        ['write', () => file.write(new Uint8Array(4), 0)],
        ['truncate', () => file.truncate(1)],
        ['flush', () => file.flush()],
      ];
      for (const [what, call] of calls) equal(await codeOf(call(), what), 'storage', what);
      equal(await contents(await make(folder, 'a')), pattern(10), 'contents');
    },
  },
  {
    name: 'lists files with their sizes, and no folders',
    async run(folder: RecordFolder): Promise<void> {
      for (const [name, bytes] of [
        ['a', 3],
        ['b.bin', 0],
        ['c-1', 70_000],
      ] as const) {
        const file = await make(folder, name);
        await file.write(pattern(bytes), 0);
        await file.close();
      }
      await folder.folder('inside');
      const listed = [...(await folder.list())].sort((x, y) => (x.name < y.name ? -1 : 1));
      equal(
        listed,
        [
          { name: 'a', bytes: 3 },
          { name: 'b.bin', bytes: 0 },
          { name: 'c-1', bytes: 70_000 },
        ],
        'list',
      );
    },
  },
  {
    name: 'removes files, open ones too, and does not mind missing ones',
    async run(folder: RecordFolder): Promise<void> {
      const a = await make(folder, 'a');
      await a.write(pattern(10), 0);
      await a.close();
      await make(folder, 'b');
      await folder.remove('a');
      await folder.remove('b');
      await folder.remove('c');
      equal(await names(folder), [], 'list');
      equal(await folder.open('a'), null, 'a removed file');
      equal(await (await make(folder, 'a')).size(), 0, 'size of a new file');
    },
  },
  {
    name: 'folders inside folders',
    async run(folder: RecordFolder): Promise<void> {
      const inner = await folder.folder('one');
      const deep = await inner.folder('two');
      const file = await make(deep, 'x');
      await file.write(pattern(10), 0);
      await file.close();
      await folder.folder('other');
      equal([...(await folder.folders())].sort(), ['one', 'other'], 'folders');
      equal(await names(folder), [], 'files outside');
      const again = await (await folder.folder('one')).folder('two');
      equal(await contents(await make(again, 'x')), pattern(10), 'contents');
      await folder.removeFolder('one'); // with a file open in it
      await folder.removeFolder('missing');
      equal(await folder.folders(), ['other'], 'folders');
      equal(await names(await (await folder.folder('one')).folder('two')), [], 'files of a new folder');
    },
  },
  {
    name: 'closing a folder closes its files',
    async run(folder: RecordFolder): Promise<void> {
      const inner = await folder.folder('inner');
      const file = await make(inner, 'a');
      await file.write(pattern(10), 0);
      await inner.close();
      equal(await codeOf(file.size(), 'size'), 'storage', 'a file of a closed folder');
      equal(await contents(await make(await folder.folder('inner'), 'a')), pattern(10), 'contents');
    },
  },
  {
    name: 'a file of 64 MiB',
    async run(folder: RecordFolder): Promise<void> {
      const file = await make(folder, 'large');
      const piece = pattern(8 * MIB + 5, 3);
      await file.truncate(64 * MIB);
      for (let at = 0; at < 64 * MIB; at += piece.length)
        await file.write(piece.subarray(0, Math.min(piece.length, 64 * MIB - at)), at);
      await file.flush();
      equal(await file.size(), 64 * MIB, 'size');
      const expected = new Uint8Array(64 * MIB);
      for (let at = 0; at < expected.length; at += piece.length)
        expected.set(piece.subarray(0, Math.min(piece.length, expected.length - at)), at);
      equal(await contents(file), expected, 'contents');
      const into = new Uint8Array(6 * MIB + 1);
      for (const at of [1, 5_000_001, 32 * MIB - 3, 58 * MIB - 1]) {
        const bytes = await file.read(into, at);
        equal(into.subarray(0, bytes), expected.subarray(at, at + into.length), `read at ${at}`);
      }
      await file.close();
      await folder.remove('large');
    },
  },
];
