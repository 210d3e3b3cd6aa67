/** What a trace file says in words: JSON in its member `meta`. Lengths and ranges are `checkTrace`'s; here is only what kind of value each is. */
import { InvalidTrace } from '../errors.ts';
import { ORIGINS, type Provenance, type Trace, type TraceChat } from './trace.ts';

export const FORMAT = 'webmoe-trace';
/** Version 2 added what views show beside the experts. */
export const VERSION = 2;
const READABLE: readonly unknown[] = [1, 2];
export const PHASES = ['prefill', 'decode'] as const;

export interface Meta extends Pick<Trace, 'chats' | 'scoring' | 'sharedExperts' | 'provenance'> {
  readonly model: { readonly name: string; readonly experts: number };
}

/** UTF-8. */
export function encodeMeta({ model, chats, scoring, sharedExperts, provenance }: Trace): Uint8Array {
  const { name, experts } = model;
  return encodeJson({
    format: FORMAT,
    version: VERSION,
    model: { name, experts },
    phases: PHASES,
    origins: ORIGINS,
    ...(chats && { chats }),
    ...(scoring && { scoring }),
    ...(sharedExperts !== undefined && { shared_experts: sharedExperts }),
    ...(provenance && { provenance }),
  });
}

export const encodeJson = (json: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(json));

/** @throws InvalidTrace when it is no JSON */
export function decodeJson(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new InvalidTrace(`${what} is not JSON`, { what }, { cause });
  }
}

/** @throws InvalidTrace when it is of a later version, or no trace */
export function decodeMeta(bytes: Uint8Array, file: string): Meta {
  const meta = record(decodeJson(bytes, `${file}: its meta`));
  if (meta.format !== FORMAT) throw new InvalidTrace(`${file} is no ${FORMAT}`, { file });
  if (!READABLE.includes(meta.version))
    throw new InvalidTrace(`${file} has version ${String(meta.version)}; this webmoe reads ${READABLE.join(' and ')}`, {
      file,
      version: meta.version,
    });
  const { name, experts } = record(meta.model);
  if (typeof name !== 'string' || typeof experts !== 'number')
    throw new InvalidTrace(`${file}: its meta names no model`, { file });
  const { shared_experts: shared, scoring, chats, provenance } = meta;
  if (shared !== undefined && typeof shared !== 'number')
    throw new InvalidTrace(`${file}: shared_experts must be a number`, { file });
  return {
    model: { name, experts },
    ...(chats !== undefined && { chats: readChats(chats, file) }),
    ...(scoring !== undefined && { scoring: scoring as Exclude<Meta['scoring'], undefined> }),
    ...(shared !== undefined && { sharedExperts: shared }),
    ...(provenance !== undefined && { provenance: readProvenance(record(provenance)) }),
  };
}

export const record = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};

function readChats(chats: unknown, file: string): TraceChat[] {
  if (!Array.isArray(chats)) throw new InvalidTrace(`${file}: its chats must be a list`, { file });
  return chats.map((chat: unknown) => {
    const { name, domain = null } = record(chat);
    return { name, domain } as TraceChat;
  });
}

/** Only what we know: anything else that a file says of itself is not passed on. */
export function readProvenance({ kind, note, date, weights, version }: Readonly<Record<string, unknown>>): Provenance {
  const optional = { date, weights, version };
  const known = Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined));
  return { kind, note, ...known } as unknown as Provenance;
}
