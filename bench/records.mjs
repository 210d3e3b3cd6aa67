// What it costs to keep weights on disk: the checksum on one core, and records through the whole cache into a folder and back.
//   node bench/records.mjs [FOLDER]      FOLDER: on the disk to measure; default: the system's folder for temporary files. Writes 1 GiB there and removes it.
import { Buffer } from 'node:buffer';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const dir = await mkdtemp(join(process.argv[2] ?? tmpdir(), 'webmoe-bench-'));
const here = fileURLToPath(new URL('../src/weights/records/', import.meta.url));
const modules = { checksum: 'checksum', nodeFolder: 'node-folder', openRecordCache: 'open-cache' };
const source = async (name) => {
  const [{ output }] = await build({
    configFile: false,
    logLevel: 'silent',
    build: {
      write: false,
      lib: { entry: join(here, `${name}.ts`), formats: ['es'], fileName: name },
      rolldownOptions: { external: /^node:/ },
    },
  });
  return import(`data:text/javascript;base64,${Buffer.from(output[0].code).toString('base64')}`);
};
const { checksum, nodeFolder, openRecordCache } = Object.fromEntries(
  await Promise.all(Object.entries(modules).map(async ([key, file]) => [key, (await source(file))[key]])),
);

const MIB = 2 ** 20;
const show = (what, bytes, ms) => console.log(`${what}: ${(bytes / ms / 1e6).toFixed(2)} GB/s`);

const memory = new Uint8Array(4 * MIB + 4).map((_, i) => (i * 2654435761) >>> 24);
for (const offset of [0, 1]) {
  const bytes = memory.subarray(offset, offset + 4 * MIB);
  for (let run = 0; run < 20; run++) checksum(bytes);
  const before = process.cpuUsage();
  for (let run = 0; run < 200; run++) checksum(bytes);
  const { user, system } = process.cpuUsage(before);
  // Time of the processor, not of the clock: other programs run on this machine too.
  show(`checksum of 4 MiB at offset ${offset}, one core`, 200 * bytes.length, (user + system) / 1000);
}

const identity = { source: 'bench', revision: null, precision: 'q4', format: '', recordVersion: 1, files: [] };
const root = nodeFolder(dir);
try {
  for (const [recordBytes, count] of [
    [3.5 * MIB, 290],
    [64 * 1024, 4096],
  ]) {
    const open = () => openRecordCache(root, identity, [{ name: 'experts', recordBytes, count }]);
    const total = recordBytes * count;
    const what = `${count} records of ${recordBytes / 1024} KiB`;
    let cache = await open();
    let before = performance.now();
    for (let i = 0; i < count; i++) {
      memory[0] = i;
      await cache.write('experts', i, memory.subarray(0, recordBytes));
    }
    await cache.close();
    show(`write, flush and mark ${what}`, total, performance.now() - before);
    before = performance.now();
    cache = await open();
    console.log(`open: ${(performance.now() - before).toFixed(1)} ms`);
    const into = new Uint8Array(recordBytes);
    before = performance.now();
    for (let i = 0; i < count; i++) if (!(await cache.read('experts', i, into))) throw new Error(`no record ${i}`);
    show(`read and check ${what}, from the system's page cache`, total, performance.now() - before);
    await cache.close();
  }
} finally {
  await rm(dir, { recursive: true });
}
