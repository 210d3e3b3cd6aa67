/** What a page and its I/O worker say to each other. Buffers are transferred in both directions. */
import { QuotaExceeded, StorageError, WebmoeError } from '../../errors.ts';

type Path = readonly string[];

/** What the worker can be asked. A folder is named by its path, a file by a number that the page gives when it opens it. */
export interface Calls {
  /** The worker holds the lock `alive` for as long as it lives. `sync` says whether it has sync access handles. */
  start(args: { readonly alive: string }): { readonly sync: boolean };
  open(args: { readonly path: Path; readonly name: string; readonly create: boolean; readonly file: number }): boolean;
  list(args: { readonly path: Path }): readonly { readonly name: string; readonly bytes: number }[];
  remove(args: { readonly path: Path; readonly name: string }): void;
  /** Makes the folder `path`. */
  folder(args: { readonly path: Path }): void;
  folders(args: { readonly path: Path }): readonly string[];
  removeFolder(args: { readonly path: Path; readonly name: string }): void;
  /** Tries it on the file `name`, which is deleted. */
  isTemporary(args: { readonly path: Path; readonly name: string }): boolean;
  size(args: { readonly file: number }): number;
  /** Fills the first `length` bytes of `buffer`. */
  read(args: FileBytes): { readonly bytes: number; readonly buffer: ArrayBuffer };
  /** Writes the first `length` bytes of `buffer`, and gives it back. */
  write(args: FileBytes): { readonly buffer: ArrayBuffer };
  truncate(args: { readonly file: number; readonly bytes: number }): void;
  flush(args: { readonly file: number }): void;
  close(args: { readonly file: number }): void;
}
interface FileBytes {
  readonly file: number;
  readonly at: number;
  readonly length: number;
  readonly buffer: ArrayBuffer;
}

export type CallName = keyof Calls;
export type Args<K extends CallName> = Parameters<Calls[K]>[0];
export type Result<K extends CallName> = ReturnType<Calls[K]>;

export type Request = { [K in CallName]: { readonly id: number; readonly call: K; readonly args: Args<K> } }[CallName];

export type Reply =
  { readonly id: number; readonly result: Result<CallName> } | { readonly id: number; readonly error: WireError };

/** An error as plain data: structured clone drops classes and fields. */
export interface WireError {
  readonly code: string | null;
  readonly name: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
  /** Of a StorageError. */
  readonly reason?: StorageError['reason'];
}

export function toWire(error: unknown): WireError {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  if (!(error instanceof WebmoeError)) return { code: null, name, message, details: {} };
  const wire = { code: error.code, name, message, details: error.details };
  return error instanceof StorageError ? { ...wire, reason: error.reason } : wire;
}

export function fromWire({ code, name, message, details, reason = 'failed' }: WireError): Error {
  if (code === 'storage') return new StorageError(reason, message, details);
  if (code === 'quota-exceeded') return new QuotaExceeded(message, details);
  const error = new Error(message);
  error.name = name;
  return error;
}
