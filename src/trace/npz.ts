/**
 * Traces as .npz files: `numpy.load(file)` gives
 *   meta     u1 [bytes]    JSON in UTF-8: format, version, model, phases, origins
 *   steps    i4 [N, 4]     phase (0 prefill, 1 decode), chat, position, tokens
 *   ids      u1|u2 [T, L, K]  the type's largest value where absent
 *   expert_bytes u4 [L]
 *   weights  f2|f4 [T, L, K]  optional
 *   origins  u1 [T, L, K]     optional, index into ORIGINS
 */
import { zipSync, type Zippable } from 'fflate';
import { InvalidTrace } from '../errors.ts';
import { decodeNpy, encodeNpy, type NpyArray } from './npy.ts';
import { ABSENT, checkTrace, ORIGINS, tokensOf, type Trace, type TraceStep } from './trace.ts';
import { readZip } from './zip.ts';

export const FORMAT = 'webmoe-trace';
export const VERSION = 1;
const PHASES = ['prefill', 'decode'] as const;
/** Archives must not depend on when they were written. */
const DATE = '1980-01-01T00:00:00';

export interface WriteOptions {
  /** How weights are kept: f16 by default; `none` leaves them out. */
  readonly weights?: 'f16' | 'f32' | 'none';
}

/** @throws InvalidTrace when the parts contradict each other */
export function writeTrace(trace: Trace, options: WriteOptions = {}): Uint8Array {
  const { model, steps, ids, weights, origins } = checkTrace(trace);
  const { layers, topK, expertBytes, ...facts } = model;
  const shape = [tokensOf(steps), layers, topK];
  const meta = { format: FORMAT, version: VERSION, model: facts, phases: PHASES, origins: ORIGINS };
  const members: Zippable = {
    'meta.npy': npy(new TextEncoder().encode(JSON.stringify(meta))),
    'steps.npy': encodeNpy(
      Int32Array.from(steps.flatMap((s) => [PHASES.indexOf(s.phase), s.chat, s.position, s.tokens])),
      [steps.length, 4],
    ),
    'expert_bytes.npy': npy(Uint32Array.from(expertBytes)),
    'ids.npy': encodeNpy(model.experts < 255 ? Uint8Array.from(ids) : ids, shape),
  };
  const kept = options.weights ?? 'f16';
  if (weights && kept !== 'none') members['weights.npy'] = encodeNpy(weights, shape, kept === 'f16' ? 'f2' : 'f4');
  if (origins) members['origins.npy'] = encodeNpy(origins, shape);
  return zipSync(members, { level: 9, mtime: DATE });
}

const npy = (data: Uint8Array | Uint32Array): Uint8Array => encodeNpy(data, [data.length]);

/**
 * @param file for messages
 * @throws InvalidTrace when it is damaged, of a later version, or no trace
 */
export function readTrace(bytes: Uint8Array, file = 'trace'): Trace {
  const members = readZip(bytes, file);
  const optional = (name: string): NpyArray | null => {
    const found = members.get(`${name}.npy`);
    return found ? decodeNpy(found, `${file}: ${name}`) : null;
  };
  const array = (name: string): NpyArray => {
    const found = optional(name);
    if (!found) throw new InvalidTrace(`${file} has no ${name}: it is no trace`, { file, name });
    return found;
  };
  const facts = readMeta(array('meta'), file);
  const ids = array('ids');
  const [tokens, layers, topK] = ids.shape;
  if (ids.shape.length !== 3 || !['u1', 'u2'].includes(ids.type))
    throw new InvalidTrace(`${file}: ids must be u1 or u2 [tokens, layers, K]`, { file });
  const same = (name: string, types: readonly string[]): NpyArray | null => {
    const found = optional(name);
    if (found && (found.shape.join() !== ids.shape.join() || !types.includes(found.type)))
      throw new InvalidTrace(`${file}: ${name} must be ${types.join(' or ')} [${ids.shape.join(', ')}]`, { file });
    return found;
  };
  const steps = readSteps(array('steps'), file);
  if (tokensOf(steps) !== tokens) throw new InvalidTrace(`${file}: its steps do not add up to ${tokens} tokens`, {});
  const absent = ids.type === 'u1' ? 0xff : ABSENT;
  return checkTrace(
    {
      model: { ...facts, layers: layers!, topK: topK!, expertBytes: [...array('expert_bytes').data] },
      steps,
      ids: Uint16Array.from(ids.data, (id) => (id === absent ? ABSENT : id)),
      weights: (same('weights', ['f2', 'f4'])?.data as Float32Array | undefined) ?? null,
      origins: (same('origins', ['u1'])?.data as Uint8Array | undefined) ?? null,
    },
    file,
  );
}

function readMeta({ data }: NpyArray, file: string): { name: string; experts: number } {
  let meta: { format?: unknown; version?: unknown; model?: { name?: unknown; experts?: unknown } };
  try {
    meta = JSON.parse(new TextDecoder().decode(Uint8Array.from(data))) as typeof meta;
  } catch (cause) {
    throw new InvalidTrace(`${file}: its meta is not JSON`, { file }, { cause });
  }
  if (meta?.format !== FORMAT) throw new InvalidTrace(`${file} is no ${FORMAT}`, { file });
  if (meta.version !== VERSION)
    throw new InvalidTrace(`${file} has version ${String(meta.version)}; this webmoe reads ${VERSION}`, { file });
  const { name, experts } = meta.model ?? {};
  if (typeof name !== 'string' || typeof experts !== 'number')
    throw new InvalidTrace(`${file}: its meta names no model`, { file });
  return { name, experts };
}

function readSteps({ shape, data, type }: NpyArray, file: string): TraceStep[] {
  if (shape.length !== 2 || shape[1] !== 4 || type !== 'i4')
    throw new InvalidTrace(`${file}: steps must be i4 [N, 4]`, { file });
  return Array.from({ length: shape[0]! }, (_, n) => {
    const [phase, chat, position, tokens] = data.subarray(n * 4, n * 4 + 4);
    const name = PHASES[phase!];
    if (!name) throw new InvalidTrace(`${file}: step ${n} is of phase ${phase}`, { file });
    return { phase: name, chat: chat!, position: position!, tokens: tokens! };
  });
}
