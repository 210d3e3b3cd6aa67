/** Small tensors beside packed weights that say how to read them: checked against what we assume before the first row is handed out. */
import { InvalidCheckpoint, UnsupportedModel } from '../../errors.ts';
import type { Checkpoint, TensorInfo } from '../checkpoint.ts';
import type { MatrixShape } from '../layout.ts';
import { decodeFloats } from '../safetensors/dtype.ts';
import { readBytes } from '../source.ts';
import { expectDType, expectShape } from './format.ts';

const SUFFIX = '.weight_shape';
/** Shapes of a file lie together, as its writer sorts by alignment: they are read in runs, not one by one. */
const RUN_BYTES = 2 ** 20;
const RUN_GAP = 4096;

interface Run {
  readonly file: string;
  readonly begin: number;
  end: number;
  bytes: Promise<Uint8Array<ArrayBuffer>> | undefined;
}

function runsOf(checkpoint: Checkpoint): Map<string, Run> {
  const infos = [...checkpoint.names()].filter((n) => n.endsWith(SUFFIX)).map((n) => checkpoint.tensor(n));
  infos.sort((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : a.begin - b.begin));
  const runs = new Map<string, Run>();
  let run: Run | undefined;
  for (const info of infos) {
    const joins = run?.file === info.file && info.begin - run.end <= RUN_GAP && info.end - run.begin <= RUN_BYTES;
    if (!run || !joins) run = { file: info.file, begin: info.begin, end: info.end, bytes: undefined };
    run.end = Math.max(run.end, info.end);
    runs.set(info.name, run);
  }
  return runs;
}

const known = new WeakMap<Checkpoint, Map<string, Run>>();

async function readShape(checkpoint: Checkpoint, info: TensorInfo, signal?: AbortSignal): Promise<readonly number[]> {
  let runs = known.get(checkpoint);
  if (!runs) known.set(checkpoint, (runs = runsOf(checkpoint)));
  const run = runs.get(info.name)!;
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
  const found = await readShape(checkpoint, info, signal);
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

/** @throws UnsupportedModel when columns are assigned to groups out of order (act-order) */
export async function checkGroupIndex(
  checkpoint: Checkpoint,
  name: string,
  cols: number,
  group: number,
  signal?: AbortSignal,
): Promise<void> {
  const full = `${name}.weight_g_idx`;
  if (!checkpoint.has(full)) return;
  const info = checkpoint.tensor(full);
  expectDType(info, 'I32', 'I64');
  expectShape(info, [cols]);
  const index = decodeFloats(info, await readBytes(checkpoint.source, info.file, info.begin, info.end, signal));
  const isUnused = index.every((g) => g === -1); // compressed-tensors' initial value
  if (isUnused || index.every((g, k) => g === Math.floor(k / group))) return;
  throw new UnsupportedModel(`${full} permutes columns (act-order), which webmoe does not run`, { tensor: full });
}
