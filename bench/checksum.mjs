// How fast a record is checked: the checksum of src/weights/records/checksum.ts over 4 MiB, one core. Prints one line for each alignment.
//   node bench/checksum.mjs
import { performance } from 'node:perf_hooks';
import { rolldown } from 'rolldown';

const bundle = await rolldown({ input: new URL('../src/weights/records/checksum.ts', import.meta.url).pathname });
const { output } = await bundle.generate({ format: 'esm' });
const { checksum } = await import(`data:text/javascript,${encodeURIComponent(output[0].code)}`);

const BYTES = 4 * 2 ** 20;
const memory = new Uint8Array(BYTES + 4).map((_, i) => (i * 2654435761) >>> 24);
for (const offset of [0, 1]) {
  const bytes = memory.subarray(offset, offset + BYTES);
  let best = Infinity;
  for (let run = 0; run < 100; run++) {
    const before = performance.now();
    checksum(bytes);
    best = Math.min(best, performance.now() - before);
  }
  console.log(`${(BYTES / best / 1e6).toFixed(2)} GB/s at offset ${offset}`);
}
