/** The tuner on a device: times the first layers, and keeps what it found for the next load of the same model on the same adapter. */
import type { Gpu } from '../gpu/gpu.ts';
import type { AdapterFacts } from '../gpu/device.ts';
import { TILE_SIZES, type TileRows } from '../kernels/moe/group.ts';
import type { BlobStore } from '../weights/records/blobs.ts';
import { moeLayers } from './activations.ts';
import type { Forward } from './forward.ts';
import type { Body } from './forward/body.ts';
import { tune, type Run } from './tuner.ts';
import { UNTUNED, type Tuning } from './tuning.ts';

/** At most, recording programs apart. */
const BUDGET_MS = 200;
/** Runs in one submit, so that the submit itself weighs little. */
const RUNS = 3;
/** Tiles are tried that an expert's rows, on average, fill by more than this. */
const FILLED = 0.6;
const BLOB = 'tuning';

const found = new Map<string, Tuning>();

export interface TuningPlace {
  /** Of the model, its precision and its chunks. */
  readonly key: string;
  /** null: this session only. */
  readonly blobs: BlobStore | null;
}

/** @returns what was found before, or measures. The cache of keys and values must be empty: it is written over */
export async function measuredTuning(gpu: Gpu, forward: Forward, { key, blobs }: TuningPlace): Promise<Tuning> {
  const name = `${adapterName(gpu.facts.adapter)} ${gpu.facts.kernels} ${key}`;
  const known = found.get(name) ?? (await readTuning(blobs, name));
  const tuning = known ?? (await measure(gpu, forward));
  found.set(name, tuning);
  if (!known) await blobs?.writeBlob(BLOB, new TextEncoder().encode(JSON.stringify({ name, tuning })));
  return tuning;
}

const adapterName = ({ vendor, architecture, description }: AdapterFacts): string =>
  `${vendor} ${architecture} ${description}`;

/** null for anything that this version would not write: it is measured anew then. */
async function readTuning(blobs: BlobStore | null, name: string): Promise<Tuning | null> {
  const bytes = await blobs?.readBlob(BLOB);
  return bytes ? parseTuning(new TextDecoder().decode(bytes), name) : null;
}

export function parseTuning(text: string, name: string): Tuning | null {
  try {
    const kept = JSON.parse(text) as { name?: unknown; tuning?: Partial<Record<keyof Tuning, unknown>> } | null;
    const { fewUpTo, tileRows: rows } = kept?.tuning ?? {};
    const tileRows = TILE_SIZES.find((tall) => tall === rows);
    if (kept?.name !== name || !Number.isInteger(fewUpTo) || tileRows === undefined) return null;
    return { fewUpTo: fewUpTo as number, tileRows };
  } catch {
    return null;
  }
}

async function measure(gpu: Gpu, forward: Forward): Promise<Tuning> {
  const { prefillChunk: chunk } = forward.plan;
  const tileRows = tileCandidates(forward, chunk);
  const bodies = new Map<string, Body>();
  for (const rows of tileRows) bodies.set(`chunk ${rows}`, await forward.body('chunk', { tileRows: rows }));
  const fewMost = forward.most('few');
  const few = fewMost > 1 ? await forward.body('few') : null;
  const { vocab } = forward.config;
  gpu.write(
    forward.ids,
    Uint32Array.from({ length: chunk }, (_, i) => (i * 7919) % vocab),
  );
  const time = async ({ batch, tokens, tileRows: rows }: Run): Promise<number> => {
    const body = batch === 'few' ? few! : bodies.get(`chunk ${rows}`)!;
    const startedAt = performance.now();
    forward.setStep(tokens, 0);
    const encoder = gpu.device.createCommandEncoder();
    for (let i = 0; i < RUNS; i++)
      body.program.encode(encoder, { tokens, position: 0 }, { end: body.marks[0]?.combine });
    gpu.submit(encoder.finish());
    await gpu.idle();
    return performance.now() - startedAt;
  };
  // The first run of a program pays for what no later one does.
  const warmed = async (run: Run): Promise<number> => Math.min(await time(run), await time(run));
  return tune(UNTUNED, { fewMost, chunk, tileRows, time: warmed, now: () => performance.now(), budgetMs: BUDGET_MS });
}

function tileCandidates({ config }: Forward, chunk: number): readonly TileRows[] {
  const rows = Math.max(0, ...moeLayers(config).map((m) => (chunk * m.topK) / m.experts));
  return TILE_SIZES.filter((tall) => tall === UNTUNED.tileRows || rows > FILLED * tall);
}
