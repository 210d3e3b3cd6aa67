/**
 * Everything that can be wrong with the world, as opposed to with webmoe. Each error names what it found, where, and what to do about it.
 * Mistakes of our own throw `InvariantError` (util/assert.ts) and are never caught.
 */
export abstract class WebmoeError extends Error {
  abstract readonly code: string;
  /** Written out: bundlers shorten the names of classes. */
  abstract override readonly name: string;
  /** Machine-readable details: the file, tensor, key, sizes... */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(message: string, details: Readonly<Record<string, unknown>> = {}, options?: ErrorOptions) {
    super(message, options);
    this.details = details;
  }
}

/** The files are well-formed but describe something that webmoe does not run. */
export class UnsupportedModel extends WebmoeError {
  override readonly name = 'UnsupportedModel';
  readonly code = 'unsupported-model';
}

export type CheckpointFault =
  | 'not-safetensors'
  | 'not-gguf'
  | 'header-too-small'
  | 'header-too-large'
  | 'header-length'
  | 'header-encoding'
  | 'header-json'
  | 'header-depth'
  | 'header-type'
  | 'duplicate-key'
  | 'missing-field'
  | 'metadata'
  | 'name'
  | 'limit'
  | 'dtype'
  | 'unsupported-dtype'
  | 'shape'
  | 'overflow'
  | 'misaligned'
  | 'offsets'
  | 'overlap'
  | 'hole'
  | 'size'
  | 'trailing-bytes'
  | 'truncated'
  | 'index'
  | 'path'
  | 'missing-tensor'
  | 'ambiguous-tensor'
  | 'quantization'
  | 'wrong-shape'
  | 'missing-file'
  | 'config'
  | 'not-finite'
  | 'tokenizer'
  | 'template';

/** A file is damaged, inconsistent or hostile. `fault` says which rule it breaks. */
export class InvalidCheckpoint extends WebmoeError {
  override readonly name = 'InvalidCheckpoint';
  readonly code = 'invalid-checkpoint';
  readonly fault: CheckpointFault;

  constructor(
    fault: CheckpointFault,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, { fault, ...details }, options);
    this.fault = fault;
  }
}

/** A trace file is damaged, or holds something that is no trace. */
export class InvalidTrace extends WebmoeError {
  override readonly name = 'InvalidTrace';
  readonly code = 'invalid-trace';
}

/** Bytes could not be fetched: network, file system, server. */
export class SourceError extends WebmoeError {
  override readonly name = 'SourceError';
  readonly code = 'source';
}

/**
 * The place where weights are kept on disk failed. `reason`: `in-use`: another tab or process has it; `unavailable`: there is none here;
 * `failed`: reading or writing did. A model can always go on without it.
 */
export class StorageError extends WebmoeError {
  override readonly name: 'StorageError' | 'QuotaExceeded' = 'StorageError';
  readonly code: 'storage' | 'quota-exceeded' = 'storage';
  readonly reason: 'in-use' | 'unavailable' | 'failed' | 'quota';

  constructor(
    reason: StorageError['reason'],
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, { reason, ...details }, options);
    this.reason = reason;
  }
}

/** There is no room on the disk, or the browser grants no more of it. What was written before stays. */
export class QuotaExceeded extends StorageError {
  override readonly name = 'QuotaExceeded';
  override readonly code = 'quota-exceeded';

  constructor(message: string, details: Readonly<Record<string, unknown>> = {}, options?: ErrorOptions) {
    super('quota', message, details, options);
  }
}

/** This browser, adapter or device lacks something. `reason` picks the help text that a page shows. */
export class DeviceCapability extends WebmoeError {
  override readonly name = 'DeviceCapability';
  readonly code = 'device-capability';
  readonly reason: 'insecure-context' | 'no-webgpu' | 'no-adapter' | 'software-adapter' | 'missing-feature' | 'limit';

  constructor(
    reason: DeviceCapability['reason'],
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, { reason, ...details }, options);
    this.reason = reason;
  }
}

/** A server that answers in the model's place refused or broke off. `status` is its HTTP status; null: there was no answer, or none that could be read. */
export class RemoteError extends WebmoeError {
  override readonly name = 'RemoteError';
  readonly code = 'remote';
  readonly status: number | null;

  constructor(
    status: number | null,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, { status, ...details }, options);
    this.status = status;
  }
}

/** The model does not fit the memory it was given, on paper or at allocation. */
export class OutOfBudget extends WebmoeError {
  override readonly name = 'OutOfBudget';
  readonly code = 'out-of-budget';
}

/** The GPU device went away under us. */
export class DeviceLost extends WebmoeError {
  override readonly name = 'DeviceLost';
  readonly code = 'device-lost';
}

/** A request that no model could satisfy: empty prompt, negative temperature, context overrun. */
export class InvalidRequest extends WebmoeError {
  override readonly name = 'InvalidRequest';
  readonly code = 'invalid-request';
}

/** The worker that ran the model is gone: it was terminated, it crashed, or it never started. `restart()` loads the model in a new one. */
export class WorkerLost extends WebmoeError {
  override readonly name = 'WorkerLost';
  readonly code = 'worker-lost';
}
