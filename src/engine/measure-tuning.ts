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

const nameOf = ({ facts }: Gpu, { key }: TuningPlace): string =>
  `${adapterName(facts.adapter)} ${facts.kernels} ${key}`;

/** What was found before; null: `measureTuning` has to. */
export async function knownTuning(gpu: Gpu, place: TuningPlace): Promise<Tuning | null> {
  const name = nameOf(gpu, place);
  return found.get(name) ?? (await readTuning(place.blobs, name));
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

/** The programs that are timed. */
export interface TuningCandidates {
  readonly chunks: ReadonlyMap<TileRows, Body>;
  readonly few: Body | null;
}

/** Of every choice: whatever is chosen is compiled then. Chunks in waves have the pipelines of other chunks. */
export async function recordCandidates(forward: Forward): Promise<TuningCandidates> {
  const tiles = tileCandidates(forward);
  const [chunks, few] = await Promise.all([
    Promise.all(tiles.map(async (tileRows) => [tileRows, await forward.body('chunk', { tileRows })] as const)),
    forward.most('few') > 1 ? forward.body('few') : null,
  ]);
  return { chunks: new Map(chunks), few };
}

/** Measures, and keeps what it found. The cache of keys and values must be empty: it is written over. */
export async function measureTuning(
  gpu: Gpu,
  forward: Forward,
  candidates: TuningCandidates,
  place: TuningPlace,
): Promise<Tuning> {
  const tuning = await measure(gpu, forward, candidates);
  const name = nameOf(gpu, place);
  found.set(name, tuning);
  await place.blobs?.writeBlob(BLOB, new TextEncoder().encode(JSON.stringify({ name, tuning })));
  return tuning;
}

async function measure(gpu: Gpu, forward: Forward, { chunks, few }: TuningCandidates): Promise<Tuning> {
  const { prefillChunk: chunk } = forward.plan;
  const { vocab } = forward.config;
  gpu.write(
    forward.ids,
    Uint32Array.from({ length: chunk }, (_, i) => (i * 7919) % vocab),
  );
  const time = async ({ batch, tokens, tileRows }: Run): Promise<number> => {
    const body = batch === 'few' ? few! : chunks.get(tileRows)!;
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
  const choice = { fewMost: forward.most('few'), chunk, tileRows: [...chunks.keys()] };
  return tune(UNTUNED, { ...choice, time: warmed, now: () => performance.now(), budgetMs: BUDGET_MS });
}

function tileCandidates({ config, plan: { prefillChunk: chunk } }: Forward): readonly TileRows[] {
  const rows = Math.max(0, ...moeLayers(config).map((m) => (chunk * m.topK) / m.experts));
  return TILE_SIZES.filter((tall) => tall === UNTUNED.tileRows || rows > FILLED * tall);
}
