/** Errors as plain data: structured clone drops their classes and fields. */
import {
  DeviceCapability,
  DeviceLost,
  InvalidCheckpoint,
  InvalidRequest,
  InvalidTrace,
  OutOfBudget,
  QuotaExceeded,
  RemoteError,
  SourceError,
  StorageError,
  UnsupportedModel,
  WebmoeError,
  WorkerLost,
} from '../../errors.ts';

type Details = Readonly<Record<string, unknown>>;

export type WireError =
  | { readonly kind: 'value'; readonly value: unknown }
  | {
      readonly kind: 'error' | 'dom';
      readonly name: string;
      readonly message: string;
      readonly stack: string | null;
      /** absent: there is none */
      readonly cause?: WireError;
      /** Of an AggregateError. */
      readonly errors?: readonly WireError[];
      /** The error's own data, of a WebmoeError `details` and `fault`, `reason` or `status` among it. */
      readonly fields: Details;
    };

type Build = (message: string, details: Details, fields: Details, options: ErrorOptions) => Error;

const plain =
  (Class: new (message: string, details: Details, options?: ErrorOptions) => Error): Build =>
  (message, details, _fields, options) =>
    new Class(message, details, options);

/** By the name that each error carries: bundlers shorten those of classes. */
const CLASSES: Readonly<Record<string, Build>> = {
  UnsupportedModel: plain(UnsupportedModel),
  InvalidTrace: plain(InvalidTrace),
  SourceError: plain(SourceError),
  QuotaExceeded: plain(QuotaExceeded),
  OutOfBudget: plain(OutOfBudget),
  DeviceLost: plain(DeviceLost),
  InvalidRequest: plain(InvalidRequest),
  WorkerLost: plain(WorkerLost),
  InvalidCheckpoint: (message, details, fields, options) =>
    new InvalidCheckpoint(fields.fault as InvalidCheckpoint['fault'], message, details, options),
  RemoteError: (message, details, fields, options) =>
    new RemoteError(fields.status as RemoteError['status'], message, details, options),
  StorageError: (message, details, fields, options) =>
    new StorageError(fields.reason as StorageError['reason'], message, details, options),
  DeviceCapability: (message, details, fields, options) =>
    new DeviceCapability(fields.reason as DeviceCapability['reason'], message, details, options),
  TypeError: (message, _details, _fields, options) => new TypeError(message, options),
  RangeError: (message, _details, _fields, options) => new RangeError(message, options),
  SyntaxError: (message, _details, _fields, options) => new SyntaxError(message, options),
};

/** Causes of causes: a chain that bites its tail ends somewhere. */
const MOST_CAUSES = 8;
const BUILT_IN = new Set(['name', 'message', 'stack', 'cause', 'errors', 'code']);

/** The value if it can be cloned, else what it says of itself. */
function cloneable(value: unknown): unknown {
  try {
    return structuredClone(value);
  } catch {
    if (typeof value !== 'object' || value === null) return String(value);
    const list = Array.isArray(value) ? value.map(cloneable) : null;
    return list ?? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, cloneable(inner)]));
  }
}

export function toWire(error: unknown, depth = 0): WireError {
  if (!(error instanceof Error)) return { kind: 'value', value: cloneable(error) };
  const { name, message, stack = null } = error;
  const wire = { name, message, stack, ...chained(error, depth) };
  if (isDom(error)) return { ...wire, kind: 'dom', fields: {} };
  const own = Object.entries(error).filter(([key]) => !BUILT_IN.has(key) || (key === 'code' && !isOurs(error)));
  return { ...wire, kind: 'error', fields: Object.fromEntries(own.map(([key, value]) => [key, cloneable(value)])) };
}

const isOurs = (error: Error): boolean => error instanceof WebmoeError;
const isDom = (error: Error): boolean => typeof DOMException === 'function' && error instanceof DOMException;

function chained(error: Error, depth: number): { cause?: WireError; errors?: WireError[] } {
  if (depth >= MOST_CAUSES) return {};
  return {
    ...('cause' in error ? { cause: toWire(error.cause, depth + 1) } : {}),
    ...(error instanceof AggregateError ? { errors: error.errors.map((inner) => toWire(inner, depth + 1)) } : {}),
  };
}

/** What was thrown on the other side: of the same class, with its fields and causes and the stack it had there. */
export function fromWire(wire: WireError): unknown {
  if (wire.kind === 'value') return wire.value;
  if (wire.kind === 'dom') return withStack(new DOMException(wire.message, wire.name), wire.stack);
  const { name, message, fields } = wire;
  const options = wire.cause ? { cause: fromWire(wire.cause) } : {};
  const { details = {}, ...rest } = fields as { details?: Details };
  const build = Object.hasOwn(CLASSES, name) ? CLASSES[name]! : null;
  const error = wire.errors
    ? new AggregateError(wire.errors.map(fromWire), message, options)
    : (build?.(message, details, fields, options) ?? new Error(message, options));
  const isWhole = error instanceof WebmoeError;
  if (error.name !== name) Object.defineProperty(error, 'name', { value: name, configurable: true, writable: true });
  return withStack(Object.assign(error, isWhole ? rest : fields), wire.stack);
}

function withStack<E extends Error>(error: E, stack: string | null): E {
  if (stack !== null) Object.defineProperty(error, 'stack', { value: stack, configurable: true, writable: true });
  return error;
}
