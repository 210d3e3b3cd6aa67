/** What of a loaded model lives on one device: buffers, programs, the conversation's cache. Made again from the same `PreparedModel` when that is lost. */
import { OutOfBudget } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { ExpertStore } from '../moe/store.ts';
import { createPolicy, DEFAULT_POLICY } from '../policy/index.ts';
import { sum } from '../util/math.ts';
import { adapterRoom } from './adapters/sizes.ts';
import { uploadAdapters } from './adapters/upload.ts';
import { approximations } from './approximate.ts';
import { DenseRecords } from './dense-records.ts';
import { expertSpecs, type ModelSpec } from './describe/specs.ts';
import { ExpertMonitor } from './expert-monitor.ts';
import { ExpertService, popularityOf } from './expert-service.ts';
import { ExpertFetcher } from './fetch.ts';
import { Forward } from './forward.ts';
import type { LoadOptions } from './load.ts';
import { measureSync } from './measure.ts';
import { ModePicker } from './mode.ts';
import { allocateHomes } from './open-store.ts';
import type { Plan } from './plan.ts';
import { fileBytes } from './plan/download.ts';
import type { PreparedModel } from './prepare.ts';
import type { ProgressMeter } from './progress.ts';
import { BatchRunner } from './serving/batch-runner.ts';
import { Session } from './session.ts';
import { resolveSpeculation } from './speculation/options.ts';
import { beside, compileFirst, tuned, tuningOf, type Compiled, type StartupOptions } from './startup.ts';
import type { StepRecord } from './step-record.ts';
import { withSuggestion } from './suggest.ts';
import { Uploader, type DeviceWeights } from './upload.ts';

export interface Runtime {
  readonly gpu: Gpu;
  readonly session: Session;
  readonly experts: ExpertService;
  readonly modes: ModePicker;
  /** Of several requests at once; null: one after the other. */
  readonly batch: BatchRunner | null;
}

export interface RuntimeOptions {
  readonly progress: ProgressMeter;
  readonly signal?: AbortSignal | undefined;
  /** On a device that was lost: its conversation, its budget and what it learned go on in the new one. */
  readonly from?: Runtime | undefined;
}

function startsEarly(start: LoadOptions['start'], spec: ModelSpec, { downloadBytes }: Plan): boolean {
  if (start !== 'auto') return start === 'early';
  return sum(expertSpecs(spec).map((x) => x.storedBytes)) > downloadBytes / 2;
}

/**
 * Puts a prepared model on a device. The runtime owns `gpu`; on failure it is disposed.
 * @throws OutOfBudget, SourceError, DeviceLost; the signal's reason when aborted
 */
export async function openRuntime(gpu: Gpu, prepared: PreparedModel, options: RuntimeOptions): Promise<Runtime> {
  const { signal } = options;
  const lost = new AbortController();
  const leaving = gpu.lost.then(() => {
    lost.abort(gpu.loss);
    throw gpu.loss!;
  });
  const until = signal ? AbortSignal.any([signal, lost.signal]) : lost.signal;
  try {
    // A device that is lost need not answer what it was asked.
    return await Promise.race([build(gpu, prepared, { ...options, signal: until }), leaving]);
  } catch (error) {
    const cause = signal?.aborted && error === signal.reason ? error : await gpu.explain(error);
    gpu.dispose();
    throw cause instanceof OutOfBudget ? withSuggestion(cause, prepared) : cause;
  }
}

interface StoreParts {
  readonly store: ExpertStore;
  readonly fetcher: ExpertFetcher;
  readonly uploader: Uploader;
  /** Everything but experts, kept on disk; null: it is not. */
  readonly dense: DenseRecords | null;
  /** From here on experts that are brought count as fetched, no more as loaded. */
  readonly endLoading: () => void;
}

/** The store of experts, empty, and what fills it. */
async function openStore(
  gpu: Gpu,
  { source, options, planned, keeping }: PreparedModel,
  { plan, homes }: Awaited<ReturnType<typeof allocateHomes>>,
  { progress, signal, from }: RuntimeOptions & { readonly signal: AbortSignal },
): Promise<StoreParts> {
  // Memory is for experts: everything else is on the GPU anyway.
  const dense =
    keeping?.tier === 'disk'
      ? await gpu.allocating(
          'keeping weights on disk',
          () => new DenseRecords(gpu, keeping.records, plan.bytes.weights),
        )
      : null;
  const uploader = new Uploader(gpu, (bytes, file) => progress.add(bytes, file), signal, dense);
  const experts = expertSpecs(planned.spec);
  const origin = source.origin ?? 'disk';
  let isLoading = true;
  const onRestored = (layer: number, e: number): void => {
    if (isLoading) uploader.countExpert(experts[layer]!, e);
  };
  const fetcher = await gpu.allocating(
    'experts on their way',
    () => new ExpertFetcher({ gpu, uploader, experts, origin, cache: keeping, onRestored }),
  );
  const counts = experts.map((x) => x.count);
  const warm = from && counts.length > 0 ? popularityOf(from.experts.store) : keeping?.records.popularity;
  const store = new ExpertStore({
    homes,
    experts: counts,
    arenas: plan.arenas,
    policy: createPolicy(
      options.policy ?? DEFAULT_POLICY,
      { layers: counts.length, experts: Math.max(0, ...counts) },
      warm ? { warm } : {},
    ),
    fill: fetcher.fill,
  });
  return { store, fetcher, uploader, dense, endLoading: () => (isLoading = false) };
}

async function build(
  gpu: Gpu,
  prepared: PreparedModel,
  { progress, signal: asked, from }: RuntimeOptions,
): Promise<Runtime> {
  const { source, options, planned, keeping, approximate, storage } = prepared;
  const stop = new AbortController();
  const signal = asked ? AbortSignal.any([asked, stop.signal]) : stop.signal;
  const { config } = prepared.opened;
  const { spec } = planned;
  const homed = await allocateHomes(gpu, config, { ...planned, plan: from?.experts.wanted ?? planned.plan });
  const { homes, plan } = homed;
  progress.enter('weights', plan.downloadBytes, fileBytes(spec));
  const filling = await openStore(gpu, prepared, homed, { progress, signal, from });
  const { store, fetcher, uploader, dense } = filling;
  const { count, experts: all } = plan.slots;
  const isFull = plan.verdict !== 'streams' && count === all && !startsEarly(options.start, spec, plan);
  if (isFull) source.willReadAll?.();
  const placed = await uploader.place(spec, plan, homes);
  const labels = approximations(approximate);
  const adapted = new Map<string, DeviceWeights>();
  const tuning = await tuningOf(gpu, prepared, plan, isFull);
  const forward = await Forward.create(gpu, config, plan, placed.weights, homes, {
    predict: !isFull,
    approximate: labels.length > 0,
    tuning: tuning.known,
    adapted,
  });
  const modes =
    from?.modes ??
    new ModePicker(store.experts.length, options.mode ?? 'auto', await measureSync(gpu, forward.draws.sampled));
  const startup: StartupOptions = {
    guesses: resolveSpeculation(options.speculate, !gpu.facts.adapter.isFallback) !== null,
    requests: plan.requests && (await BatchRunner.allocate(gpu, forward, plan.requests)),
    tunes: tuning.place,
  };
  const upload = async (): Promise<void> => {
    await placed.fill(async (layer) => {
      // In order, one by one: most files are ordered so.
      const read = isFull ? store.experts[layer]! : 0;
      for (let e = 0; e < read; e++) await store.bring(layer, [e], { atLayer: layer, isKept: () => true, signal });
    });
    if (isFull) await uploader.release();
    const model = { spec, weights: placed.weights, room: adapterRoom(config, plan) };
    const loaded = await uploadAdapters(gpu, model, planned.adapters, signal);
    for (const [name, weights] of loaded) adapted.set(name, weights);
    progress.enter('compile');
  };
  const compile = async (): Promise<Compiled> => {
    // First what the first block waits for; what is kept was quantised when it came.
    const quantizing = keeping?.records.isComplete ? null : placed.compile();
    const [compiled] = await Promise.all([compileFirst(gpu, forward, startup), quantizing]);
    return compiled;
  };
  const compiling = compile();
  const compiled = await beside(upload(), compiling, { signal, stop: (reason) => stop.abort(reason) });
  const first = await tuned(gpu, forward, compiled, startup);
  const monitor =
    from?.experts.monitor ??
    new ExpertMonitor(store, plan, storage, labels, () => keeping?.records.note ?? null, modes.syncMs);
  const onStep = (record: StepRecord): void => {
    monitor.add(record);
    experts.onStep();
  };
  const session = await Session.open(
    { gpu, forward, store, modes, approximate, isWatched: monitor.isWatched, onStep },
    first,
  );
  const { batch } = compiled;
  const experts = new ExpertService({
    store,
    monitor,
    fetcher,
    experts: expertSpecs(spec),
    dense,
    keeping,
    planned,
    plan,
    ...(from && { wanted: from.experts.wanted }),
    collects: options.collect ?? true,
    rerecord: async () => {
      await session.rerecord();
      await batch?.rerecord();
    },
  });
  if (from) {
    monitor.moved(store, plan, storage);
    await session.resume(from.session, signal);
  }
  signal.throwIfAborted();
  progress.enter('ready');
  filling.endLoading();
  experts.start();
  return { gpu, session, experts, modes, batch };
}
