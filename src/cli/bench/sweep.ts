/** Loads each model of a sweep once and runs every request on it. */
import { weighted } from '../../config/experts.ts';
import { costSheet, type CostSheet } from '../../engine/cost/cost-sheet.ts';
import type { DeviceRates } from '../../engine/cost/program-cost.ts';
import { loadOn } from '../../engine/load.ts';
import { moeLayers } from '../../engine/activations.ts';
import type { Model } from '../../engine/model.ts';
import { openModel, planOpened } from '../../engine/open.ts';
import { DeviceCapability } from '../../errors.ts';
import { openGpu } from '../../gpu/open.ts';
import type { ByteSource } from '../../weights/source.ts';
import type { Arithmetic, KernelChoice } from '../../gpu/device.ts';
import type { Options } from '../args.ts';
import { loadOptions, type Output } from '../common.ts';
import { openOwnDawn } from '../dawn.ts';
import { modelSource } from '../model-source.ts';
import { openNodeSource } from '../node-source.ts';
import { madeConfig, madeSource } from './made-source.ts';
import { benchmark, type BenchReport } from './measure.ts';
import type { LoadSetting, RunSetting } from './settings.ts';

/** One row: what ran, and what came of it. Sizes are those of the first MoE layer; null for a dense model. */
export interface BenchRow {
  readonly model: string;
  readonly experts: number | null;
  readonly topK: number | null;
  readonly width: number | null;
  readonly weights: string;
  /** Share of the experts that have a slot. */
  readonly residency: number;
  readonly promptTokens: number;
  readonly decodeTokens: number;
  readonly report: BenchReport;
}

export interface Sweep {
  readonly loads: readonly LoadSetting[];
  readonly runs: readonly RunSetting[];
  readonly options: Options;
  readonly device: DeviceRates;
}

async function sourceOf({ made }: LoadSetting, options: Options): Promise<ByteSource> {
  if (!made) return openNodeSource(modelSource(options.text('model')!, options));
  return madeSource('synthetic', madeConfig(made), options.number('seed') ?? 1);
}

/** The cost of the kernels that this model runs, on its own device. */
async function sheetOf(source: ByteSource, { plan, device }: Model): Promise<CostSheet> {
  const opened = await openModel(source);
  const { contextLength, prefillChunk, kv, precision } = plan;
  const wishes = { contextLength, prefillChunk, kv, gpuBytes: Number.MAX_SAFE_INTEGER };
  return costSheet(opened, planOpened(opened, device.limits, precision, wishes), device.kernels);
}

function rowOf(model: Model, name: string, run: RunSetting, report: BenchReport): BenchRow {
  const [moe] = moeLayers(model.config);
  const { count, experts } = model.plan.slots;
  return {
    model: name,
    experts: moe ? weighted(moe) : null,
    topK: moe?.topK ?? null,
    width: moe?.width ?? null,
    weights: model.plan.precision,
    residency: experts ? count / experts : 1,
    ...run,
    report,
  };
}

/** @param onRow called as each row is there */
export async function runSweep(sweep: Sweep, out: Output, onRow: (row: BenchRow) => void): Promise<void> {
  const { loads, runs, options, device } = sweep;
  const name = options.text('model') ?? 'synthetic';
  const kernels = options.text('kernels') as KernelChoice | undefined;
  const arithmetic = options.text('arithmetic') as Arithmetic | undefined;
  const dawn = await openOwnDawn({ unfinished: arithmetic === 'f16' });
  const gpu = await openGpu({ gpu: dawn, kernels, arithmetic });
  if (options.flag('timestamps') && !gpu.facts.features.has('timestamp-query'))
    throw new DeviceCapability('missing-feature', 'The graphics adapter has no time stamps (timestamp-query)');
  const longest = Math.max(...runs.map((r) => r.promptTokens + r.decodeTokens));
  try {
    for (const [i, setting] of loads.entries()) {
      if (out.isTerminal) out.note(`\r\x1b[Kmodel ${i + 1} of ${loads.length}`);
      const source = await sourceOf(setting, options);
      const { weights, expertsResident, batch } = setting;
      const wishes = loadOptions(options);
      const own = gpu.share();
      let weightsAt = 0;
      const model = await loadOn(own, source, {
        ...wishes,
        onProgress: ({ phase }) => {
          if (phase === 'compile') weightsAt = performance.now();
        },
        contextLength: wishes.contextLength ?? (setting.made ? batch * longest : undefined), // pages are for two contexts
        weights,
        expertsResident,
        ...(batch > 1 && { requests: { inFlight: batch } }),
      });
      const loadTailMs = performance.now() - weightsAt;
      try {
        const timed = options.flag('timestamps') ? own : undefined;
        const sheet = await sheetOf(source, model);
        for (const [n, run] of runs.entries()) {
          const tail = n === 0 ? { loadTailMs } : {};
          onRow(rowOf(model, name, run, await benchmark(model, { ...run, ...tail, batch, sheet, device, timed })));
        }
      } finally {
        await model.dispose();
      }
    }
  } finally {
    if (out.isTerminal) out.note('\r\x1b[K');
    gpu.dispose();
  }
}
