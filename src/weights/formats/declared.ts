/** Small tensors beside packed weights that say how to read them: checked against what we assume before the first row is handed out. */
import { InvalidCheckpoint, UnsupportedModel } from '../../errors.ts';
import type { Checkpoint, TensorInfo } from '../checkpoint.ts';
import type { MatrixShape } from '../layout.ts';
import { decodeFloats } from '../safetensors/dtype.ts';
import { readBytes } from '../source.ts';
import { expectDType, expectShape } from './format.ts';

/** Such tensors of a file lie together, as its writer sorts by alignment and name: they are read in runs, not one by one. */
const RUN_BYTES = 2 ** 20;
const RUN_GAP = 4096;

interface Run {
  readonly file: string;
  readonly begin: number;
  end: number;
  bytes: Promise<Uint8Array<ArrayBuffer>> | undefined;
}

type Runs = ReadonlyMap<string, Run>;

function runsOf(checkpoint: Checkpoint, suffix: string): Runs {
  const runs = new Map<string, Run>();
  const infos = [...checkpoint.names()].filter((n) => n.endsWith(suffix)).map((n) => checkpoint.tensor(n));
  infos.sort((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : a.begin - b.begin));
  let run: Run | undefined;
  for (const info of infos) {
    const joins = run?.file === info.file && info.begin - run.end <= RUN_GAP && info.end - run.begin <= RUN_BYTES;
    if (!run || !joins) run = { file: info.file, begin: info.begin, end: info.end, bytes: undefined };
    run.end = Math.max(run.end, info.end);
    runs.set(info.name, run);
  }
  return runs;
}

const known = new WeakMap<Checkpoint, Map<string, Runs>>();

function knownRuns(checkpoint: Checkpoint, suffix: string): Runs {
  let bySuffix = known.get(checkpoint);
  if (!bySuffix) known.set(checkpoint, (bySuffix = new Map()));
  let runs = bySuffix.get(suffix);
  if (!runs) bySuffix.set(suffix, (runs = runsOf(checkpoint, suffix)));
  return runs;
}

/** Values of a tensor of a few bytes, called something that ends in `suffix`; all of one suffix are fetched together. */
export async function readSmall(
  checkpoint: Checkpoint,
  info: TensorInfo,
  suffix: string,
  signal?: AbortSignal,
): Promise<readonly number[]> {
  const run = knownRuns(checkpoint, suffix).get(info.name)!;
  const load = (): Promise<Uint8Array<ArrayBuffer>> =>
    readBytes(checkpoint.source, run.file, run.begin, run.end, signal);
  const own = run.bytes === undefined;
  const pending = (run.bytes ??= load());
  const bytes = await pending.catch((error: unknown) => {
    if (run.bytes === pending) run.bytes = undefined;
    signal?.throwIfAborted();
    if (own) throw error;
    return load(); // the reader who began was aborted, or failed where we may succeed
  });
  return [...decodeFloats(info, bytes.subarray(info.begin - run.begin, info.end - run.begin))];
}

const SUFFIX = '.weight_shape';

/** @throws InvalidCheckpoint `wrong-shape` */
export async function checkDeclaredShape(
  checkpoint: Checkpoint,
  name: string,
  expected: MatrixShape,
  signal?: AbortSignal,
): Promise<void> {
  if (!checkpoint.has(name + SUFFIX)) return;
  const info = checkpoint.tensor(name + SUFFIX);
  expectDType(info, 'I64', 'I32');
  expectShape(info, [2]);
  const found = await readSmall(checkpoint, info, SUFFIX, signal);
  if (found[0] === expected.rows && found[1] === expected.cols) return;
  throw new InvalidCheckpoint(
    'wrong-shape',
    `${info.name} says [${found.join(', ')}], but config.json asks for [${expected.rows}, ${expected.cols}]`,
    {
      tensor: info.name,
      found,
      expected: [expected.rows, expected.cols],
    },
  );
}

/**
 * The group of each column, for act-order.
 * @throws InvalidCheckpoint for a missing or misshapen tensor now, for groups that do not exist when it is read
 */
export function groupIndex(
  checkpoint: Checkpoint,
  full: string,
  cols: number,
  groups: number,
): (signal?: AbortSignal) => Promise<Float32Array> {
  const info = checkpoint.tensor(full);
  expectDType(info, 'I32', 'I64');
  expectShape(info, [cols]);
  return async (signal) => {
    const bytes = await readBytes(checkpoint.source, info.file, info.begin, info.end, signal);
    return checkedIndex(info, decodeFloats(info, bytes), groups);
  };
}

/** @throws InvalidCheckpoint */
export function checkedIndex(info: TensorInfo, index: Float32Array, groups: number): Float32Array {
  const wrong = index.find((g) => g < 0 || g >= groups);
  if (wrong === undefined) return index;
  throw new InvalidCheckpoint('quantization', `${info.name} names group ${wrong}, but there are ${groups}`, {
    tensor: info.name,
    found: wrong,
    groups,
  });
}

/**
 * @param full name of the tensor [K] that says which group each column belongs to; there may be none
 * @throws UnsupportedModel when columns are assigned to groups out of order (act-order), which config.json does not announce
 */
export async function checkGroupIndex(
  checkpoint: Checkpoint,
  full: string,
  cols: number,
  group: number,
  signal?: AbortSignal,
): Promise<void> {
  if (!checkpoint.has(full)) return;
  const info = checkpoint.tensor(full);
  expectDType(info, 'I32', 'I64');
  expectShape(info, [cols]);
  const index = decodeFloats(info, await readBytes(checkpoint.source, info.file, info.begin, info.end, signal));
  const isUnused = index.every((g) => g === -1); // compressed-tensors' initial value
  if (isUnused || index.every((g, k) => g === Math.floor(k / group))) return;
  throw new UnsupportedModel(`${full} permutes columns (act-order), which config.json does not announce`, {
    tensor: full,
  });
}
