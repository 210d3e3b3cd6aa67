/**
 * What a model's first answer runs, made while its weights arrive. Programs are recorded on buffers that are still empty; every pipeline is asked for
 * before any is waited for.
 */
import type { Gpu } from '../gpu/gpu.ts';
import { orAborted } from '../util/abort.ts';
import type { Forward } from './forward.ts';
import { sourceNotes } from './keeping.ts';
import {
  knownTuning,
  measureTuning,
  recordCandidates,
  type TuningCandidates,
  type TuningPlace,
} from './measure-tuning.ts';
import type { Plan } from './plan.ts';
import type { PreparedModel } from './prepare.ts';
import { recordFirst, type FirstPrograms } from './programs.ts';
import { BatchRunner, type BatchBuffers } from './serving/batch-runner.ts';
import { UNTUNED, type Tuning } from './tuning.ts';

export interface StartupOptions {
  /** Whether steps guess by default. */
  readonly guesses: boolean;
  /** Of several requests at once; null: one after the other. */
  readonly requests: BatchBuffers | null;
  /** Where a tuning that has to be measured is kept; null: it is known. */
  readonly tunes: TuningPlace | null;
}

export interface Compiled {
  readonly first: FirstPrograms;
  readonly batch: BatchRunner | null;
  readonly candidates: TuningCandidates | null;
}

/** Settles when all of it is compiled. */
export async function compileFirst(
  gpu: Gpu,
  forward: Forward,
  { guesses, requests, tunes }: StartupOptions,
): Promise<Compiled> {
  const [first, batch, candidates] = await Promise.all([
    recordFirst(forward, guesses),
    requests && BatchRunner.create(gpu, forward, requests),
    tunes && recordCandidates(forward),
  ]);
  return { first, batch, candidates };
}

/** What `Forward` begins with, and where it is kept when it has to be measured first. */
export interface TuningChoice {
  readonly known: Tuning;
  readonly place: TuningPlace | null;
}

/** What is streamed runs in waves or one by one, and a CPU's times would take longer than they save: neither is measured. */
export async function tuningOf(
  gpu: Gpu,
  { source, options }: PreparedModel,
  { prefillChunk, precision, bytes }: Plan,
  isFull: boolean,
): Promise<TuningChoice> {
  const { tune = true } = options;
  if (tune !== true) return { known: { ...UNTUNED, ...(tune || {}) }, place: null };
  if (!isFull || gpu.facts.adapter.isFallback) return { known: UNTUNED, place: null };
  const place = {
    key: `${source.key ?? source.label} ${precision} ${bytes.weights + bytes.experts} ${prefillChunk}`,
    blobs: await sourceNotes(source, options.storage),
  };
  const known = await knownTuning(gpu, place);
  return known ? { known, place: null } : { known: UNTUNED, place };
}

/** Measures what has to be, on weights that are there, and records what that changes; all of it is compiled. */
export async function tuned(
  gpu: Gpu,
  forward: Forward,
  { first, batch, candidates }: Compiled,
  { guesses, tunes }: StartupOptions,
): Promise<FirstPrograms> {
  if (!tunes || !candidates) return first;
  const before = forward.tuning;
  forward.tuning = await measureTuning(gpu, forward, candidates, tunes);
  if (JSON.stringify(forward.tuning) === JSON.stringify(before)) return first;
  await batch?.rerecord();
  return recordFirst(forward, guesses);
}

/**
 * Waits for an upload and for what is compiled beside it. When one fails the other ends, and its error is thrown once the upload has let go; nobody
 * waits for a compiler, which cannot be stopped.
 * @param signal what `uploading` obeys
 * @param stop aborts it
 */
export async function beside<T>(
  uploading: Promise<void>,
  compiling: Promise<T>,
  { signal, stop }: { readonly signal: AbortSignal; readonly stop: (reason: unknown) => void },
): Promise<T> {
  compiling.catch(() => undefined); // an upload that failed first has the word
  try {
    const [, compiled] = await Promise.all([uploading, orAborted(compiling, signal)]);
    return compiled;
  } catch (error) {
    stop(error);
    await uploading.catch(() => undefined);
    throw error;
  }
}
