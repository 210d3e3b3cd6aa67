/**
 * Traces as .npz files, for `numpy.load`:
 *   meta         u1 [bytes]       JSON in UTF-8: npz-meta.ts
 *   steps        i4 [N, 4]        phase (0 prefill, 1 decode), chat, position, tokens
 *   ids          u1|u2 [T, L, K]  the type's largest value where absent
 *   expert_bytes u4 [L]
 * and where somebody recorded them
 *   weights      f2|f4 [T, L, K]
 *   origins      u1 [T, L, K]     index into ORIGINS
 *   token_ids    i4 [T]           -1 where unknown
 *   texts        u1 [bytes]       JSON in UTF-8: a list of T texts
 *   logits       f2|f4 [T, L, E]  NaN where absent
 *   logprobs     f4 [T]           NaN where unknown
 *   step_ms      f4 [N, 2]        the whole step, of that waiting for experts; NaN where unknown
 *   step_bytes   f8 [N, 2]        read from disk, from the network; NaN where unknown
 */
import { zipSync, type Zippable } from 'fflate';
import { InvalidTrace } from '../errors.ts';
import { checkTrace } from './check-trace.ts';
import { decodeJson, decodeMeta, encodeJson, encodeMeta, PHASES } from './npz-meta.ts';
import { Members } from './npz-members.ts';
import { encodeNpy, type NpyArray, type NpyData, type NpyType } from './npy.ts';
import { ABSENT, tokensOf, type Trace, type TraceStep, type TraceTiming } from './trace.ts';

/** Archives must not depend on when they were written. */
export const DATE = '1980-01-01T00:00:00';

type Floats = 'f16' | 'f32' | 'none';

export interface WriteOptions {
  /** How weights are kept: f16 by default; `none` leaves them out. */
  readonly weights?: Floats;
  /** The same of logits. */
  readonly logits?: Floats;
}

/** @throws InvalidTrace when the parts contradict each other */
export function writeTrace(trace: Trace, options: WriteOptions = {}): Uint8Array {
  const { model, steps, ids, weights, origins, logits } = checkTrace(trace);
  const { layers, topK, experts } = model;
  const tokens = tokensOf(steps);
  const shape = [tokens, layers, topK];
  const stepRows = Int32Array.from(steps.flatMap((s) => [PHASES.indexOf(s.phase), s.chat, s.position, s.tokens]));
  const members: Zippable = {
    'meta.npy': flat(encodeMeta(trace)),
    'steps.npy': encodeNpy(stepRows, [steps.length, 4]),
    'expert_bytes.npy': flat(Uint32Array.from(model.expertBytes)),
    'ids.npy': encodeNpy(experts < 255 ? Uint8Array.from(ids) : ids, shape),
    ...floats('weights', weights, shape, options.weights),
    ...(origins && { 'origins.npy': encodeNpy(origins, shape) }),
    ...floats('logits', logits, [tokens, layers, experts], options.logits),
    ...tokenMembers(trace),
  };
  return zipSync(members, { level: 9, mtime: DATE });
}

const flat = (data: NpyData): Uint8Array => encodeNpy(data, [data.length]);

function floats(
  name: string,
  data: Float32Array | null | undefined,
  shape: readonly number[],
  kept: Floats = 'f16',
): Zippable {
  if (!data || kept === 'none') return {};
  return { [`${name}.npy`]: encodeNpy(data, shape, kept === 'f16' ? 'f2' : 'f4') };
}

function tokenMembers({ steps, tokens, texts, logprobs, timing }: Trace): Zippable {
  const pairs = [steps.length, 2];
  return {
    ...(tokens && { 'token_ids.npy': flat(tokens) }),
    ...(texts && { 'texts.npy': flat(encodeJson(texts)) }),
    ...(logprobs && { 'logprobs.npy': flat(logprobs) }),
    ...(timing && {
      'step_ms.npy': encodeNpy(Float32Array.from(zipped(timing.ms, timing.stallMs)), pairs),
      'step_bytes.npy': encodeNpy(Float64Array.from(zipped(timing.diskBytes, timing.networkBytes)), pairs),
    }),
  };
}

type Row = Float32Array | Float64Array;
const zipped = (a: Row, b: Row): number[] => Array.from(a, (x, n) => [x, b[n]!]).flat();

/**
 * @param file for messages
 * @throws InvalidTrace when it is damaged, of a later version, or no trace
 */
export function readTrace(bytes: Uint8Array, file = 'trace'): Trace {
  const members = new Members(bytes, file);
  const { model, ...facts } = decodeMeta(members.array('meta', ['u1'], [null]).data as Uint8Array, file);
  const ids = members.array('ids', ['u1', 'u2'], [null, null, null]);
  const [tokens, layers, topK] = ids.shape as [number, number, number];
  const steps = readSteps(members.array('steps', ['i4'], [null, 4]), file);
  if (tokensOf(steps) !== tokens) throw new InvalidTrace(`${file}: its steps do not add up to ${tokens} tokens`, {});
  const same = (name: string, ...types: NpyType[]): NpyData | null =>
    members.optional(name, types, ids.shape)?.data ?? null;
  const expertBytes = members.array('expert_bytes', ['u4'], [null]).data;
  const logits = members.optional('logits', ['f2', 'f4'], [tokens, layers, model.experts]);
  return checkTrace(
    {
      model: { ...model, layers, topK, expertBytes: [...expertBytes] },
      steps,
      ids: ids.type === 'u1' ? widened(ids.data as Uint8Array) : (ids.data as Uint16Array),
      weights: same('weights', 'f2', 'f4') as Float32Array | null,
      origins: same('origins', 'u1') as Uint8Array | null,
      ...(logits && { logits: logits.data as Float32Array }),
      ...readTokens(members, tokens, file),
      ...readTiming(members, steps.length),
      ...facts,
    },
    file,
  );
}

function widened(ids: Uint8Array): Uint16Array {
  const wide = new Uint16Array(ids.length);
  for (let i = 0; i < ids.length; i++) wide[i] = ids[i] === 0xff ? ABSENT : ids[i]!;
  return wide;
}

function readTokens(members: Members, tokens: number, file: string): Pick<Trace, 'tokens' | 'texts' | 'logprobs'> {
  const ids = members.optional('token_ids', ['i4'], [tokens]);
  const texts = members.optional('texts', ['u1'], [null]);
  const logprobs = members.optional('logprobs', ['f4'], [tokens]);
  const list = texts && decodeJson(texts.data as Uint8Array, `${file}: texts`);
  if (list !== null && !Array.isArray(list)) throw new InvalidTrace(`${file}: texts must be a list`, { file });
  return {
    ...(ids && { tokens: ids.data as Int32Array }),
    ...(list && { texts: list as string[] }),
    ...(logprobs && { logprobs: logprobs.data as Float32Array }),
  };
}

function readTiming(members: Members, steps: number): { timing?: TraceTiming } {
  const ms = members.optional('step_ms', ['f4'], [steps, 2])?.data;
  if (!ms) return {};
  const bytes = members.optional('step_bytes', ['f8'], [steps, 2])?.data ?? new Float64Array(2 * steps).fill(NaN);
  const every = (of: NpyData, from: number): number[] => Array.from({ length: steps }, (_, n) => of[2 * n + from]!);
  return {
    timing: {
      ms: Float32Array.from(every(ms, 0)),
      stallMs: Float32Array.from(every(ms, 1)),
      diskBytes: Float64Array.from(every(bytes, 0)),
      networkBytes: Float64Array.from(every(bytes, 1)),
    },
  };
}

function readSteps({ shape, data }: NpyArray, file: string): TraceStep[] {
  return Array.from({ length: shape[0]! }, (_, n) => {
    const [phase, chat, position, tokens] = data.subarray(n * 4, n * 4 + 4);
    const name = PHASES[phase!];
    if (!name) throw new InvalidTrace(`${file}: step ${n} is of phase ${phase}`, { file });
    return { phase: name, chat: chat!, position: position!, tokens: tokens! };
  });
}
