// A model larger than memory: 22.5 GB of experts in a sparse checkpoint (scripts/sparse-checkpoint.mjs), packed in part, then run through few slots.
//   node bench/huge.mjs [--folder DIR] [--layers 2] [--experts 32] [--tokens 2] [--disk-budget BYTES] [--slots SHARE]
// The folder (default: one under the system's for temporary files) is removed at the end; it takes the disk budget. Prints the peak of host memory:
// what JavaScript holds outside its heap, and resident memory less what the GPU's ledger says, because a software adapter keeps the GPU's
// buffers in this process.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { performance } from 'node:perf_hooks';
import { clearInterval, setInterval } from 'node:timers';
import { parseArgs } from 'node:util';
import { writeSparseCheckpoint } from '../scripts/sparse-checkpoint.mjs';
import { fromSource } from './modules.mjs';

const { values } = parseArgs({
  options: {
    folder: { type: 'string' },
    layers: { type: 'string', default: '2' },
    experts: { type: 'string', default: '32' },
    tokens: { type: 'string', default: '2' },
    'disk-budget': { type: 'string', default: '600000000' },
    slots: { type: 'string', default: '0.05' },
    part: { type: 'string' },
  },
});
const gb = (bytes) => `${(bytes / 1e9).toFixed(2)} GB`;
const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(0)} s`;

/** Each part in a process of its own, so that one's memory is not counted for the next. */
if (!values.part) {
  const folder = values.folder ?? mkdtempSync(join(tmpdir(), 'webmoe-huge-'));
  try {
    mkdirSync(folder, { recursive: true });
    const { bytes } = writeSparseCheckpoint({
      out: join(folder, 'model'),
      layers: Number(values.layers),
      experts: Number(values.experts),
    });
    console.log(`checkpoint: ${gb(bytes)}, nearly all of it holes`);
    for (const part of ['plan', 'pack', 'run']) {
      const args = [...process.argv.slice(2), '--part', part, '--folder', folder];
      const { status } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), ...args], { stdio: 'inherit' });
      if (status !== 0) process.exitCode = 1;
    }
  } finally {
    if (!values.folder) rmSync(folder, { recursive: true });
  }
} else {
  const modules = await fromSource(`huge-${values.part}`, [
    'node.ts',
    'cli/common.ts',
    'gpu/open.ts',
    'engine/load.ts',
  ]);
  await { plan: showPlan, pack, run }[values.part](
    modules,
    join(values.folder, 'model'),
    join(values.folder, 'records'),
  );
}

async function showPlan({ plan, openNodeSource }, model) {
  const limits = { maxBufferSize: 2 ** 31, maxStorageBufferBindingSize: 2 ** 31 }; // of most GPUs; one expert exceeds the least that WebGPU promises
  const options = { weights: 'q4', contextLength: 64, expertsResident: Number(values.slots), limits };
  const { slots, bytes, fullBytes } = await plan(await openNodeSource(model), options);
  console.log(
    `plan, q4: ${slots.count} of ${slots.experts} experts of ${gb(slots.bytesEach)} have a slot; ` +
      `GPU ${gb(Object.values(bytes).reduce((a, b) => a + b, 0))}, with all experts ${gb(fullBytes)}`,
  );
}

/** Samples memory every few milliseconds, and whenever a source is read. */
function watch(source) {
  const before = process.memoryUsage();
  const peak = { external: 0, outside: 0, rss: 0 };
  let gpuBytes = () => 0;
  const sample = () => {
    const { external, rss } = process.memoryUsage();
    peak.external = Math.max(peak.external, external - before.external);
    peak.rss = Math.max(peak.rss, rss);
    peak.outside = Math.max(peak.outside, rss - gpuBytes());
  };
  const timer = setInterval(sample, 5);
  return {
    source: {
      ...source,
      label: source.label,
      size: (file, signal) => source.size(file, signal),
      async *stream(file, begin, end, signal) {
        for await (const piece of source.stream(file, begin, end, signal)) {
          sample();
          yield piece;
        }
      },
    },
    count: (gpu) => (gpuBytes = () => Object.values(gpu.ledger.bytesByRole()).reduce((a, b) => a + b, 0)),
    report: (name, gpu) => {
      clearInterval(timer);
      console.log(
        `${name}: outside JavaScript's heap at most ${gb(peak.external)}; resident ${gb(peak.rss)}, ` +
          `less the GPU's buffers of the moment at most ${gb(peak.outside)}; GPU ${gb(gpu)}`,
      );
    },
  };
}

async function loaded({ openGpu, loadOn, openNodeSource, openDawn, diskStorage }, model, records, options) {
  const watched = watch(await openNodeSource(model));
  const gpu = await openGpu({ gpu: await openDawn() });
  watched.count(gpu);
  const common = { weights: 'q4', expertsResident: Number(values.slots), diskBytes: Number(values['disk-budget']) };
  const opened = await loadOn(gpu, watched.source, { ...common, storage: diskStorage(records), ...options });
  return { model: opened, watched };
}

async function pack(modules, checkpoint, records) {
  const startedAt = performance.now();
  const { model, watched } = await loaded(modules, checkpoint, records, { contextLength: 1, start: 'early' });
  await model.settled();
  const { presentBytes, totalBytes } = model.kept;
  console.log(`pack: ${gb(presentBytes)} of ${gb(totalBytes)} kept in ${seconds(startedAt)}`);
  const { weights, experts } = model.gpuBytes;
  await model.dispose();
  watched.report('pack', weights + experts);
}

async function run(modules, checkpoint, records) {
  const options = { contextLength: 64, prefillChunk: 8, collect: false, mode: 'lockstep' };
  let startedAt = performance.now();
  const { model, watched } = await loaded(modules, checkpoint, records, options);
  console.log(`load: ${seconds(startedAt)}`);
  model.onStep(({ phase, ms, stallMs, layers, bytes }) => {
    const [needed, hits] = ['needed', 'hits'].map((key) => layers.reduce((n, layer) => n + layer[key], 0));
    console.log(
      `${phase}: ${(ms / 1000).toFixed(0)} s, of them ${(stallMs / 1000).toFixed(0)} s waiting; ` +
        `${needed} experts, ${hits} of them on the GPU; read ${gb(bytes.disk)}`,
    );
  });
  startedAt = performance.now();
  const ids = [];
  const sampling = { temperature: 0, ignoreEnd: true, maxTokens: Number(values.tokens) };
  for await (const token of model.generate({ ids: [3] }, sampling)) ids.push(token.id);
  console.log(`tokens ${ids.join(' ')} in ${seconds(startedAt)}`);
  const gpuBytes = Object.values(model.gpuBytes).reduce((a, b) => a + b, 0);
  await model.dispose();
  watched.report('run', gpuBytes);
}
