/**
 * A device that is lost is replaced, and whoever was at work goes on. The lost runtime is left as it was: its callbacks, however late, reach
 * nothing but itself, and its host memory says where to go on from.
 *
 * Recovery begins at once, also when nobody asks anything: the next question then waits for no upload.
 */
import { DeviceCapability, DeviceLost } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { orAborted } from '../util/abort.ts';
import { invariant } from '../util/assert.ts';
import { sleep } from '../weights/retry.ts';
import type { Runtime } from './runtime.ts';

/** Waits before the first and the second try. */
export const BACK_OFF_MS = [250, 2000] as const;
/** Losses in a row that end it. A device that cannot be had counts as one. */
const MAX_LOSSES = 3;
/** A device that lived so long and was lost while nothing ran does not continue a row: a computer that sleeps each night is no fault. */
const LONG_LIFE_MS = 60_000;
/** Work on a lost device fails by itself, or is left alone after this long. */
const GRACE_MS = 2000;

export interface RecoveryEvent {
  /** `failed`: the weights could not be had, say; the next request tries again. `gave-up`: nothing but loading the model anew helps. */
  readonly phase: 'lost' | 'rebuilding' | 'recovered' | 'failed' | 'gave-up';
  /** Losses in a row so far. */
  readonly attempt: number;
  /** In words. */
  readonly reason: string;
  /** Since the first loss of the row. */
  readonly ms: number;
}

/** Puts the model on another device, where `from` left off. @throws what `openRuntime` does */
export type Rebuild = (gpu: Gpu, from: Runtime, signal: AbortSignal) => Promise<Runtime>;

export class Recovery {
  #live: Runtime;
  readonly #reopen: (() => Promise<Gpu>) | null;
  readonly #rebuild: Rebuild;
  /** Settles when the model runs again (null), or does not (why). */
  #recovering: Promise<unknown> | null = null;
  #gaveUp: DeviceLost | null = null;
  #losses = 0;
  #bornAt = performance.now();
  #lostAt = 0;
  /** Ends the wait for work on a device that is gone. */
  readonly #atWork = new Set<() => void>();
  readonly #listeners = new Set<(event: RecoveryEvent) => void>();
  readonly #closing = new AbortController();
  #tellLost: (info: { readonly reason: string; readonly message: string }) => void = () => undefined;
  /** Resolves when the device is gone for good. */
  readonly lost = new Promise<{ readonly reason: string; readonly message: string }>((r) => (this.#tellLost = r));

  /** @param reopen null: the first loss is the last */
  constructor(live: Runtime, reopen: (() => Promise<Gpu>) | null, rebuild: Rebuild) {
    this.#live = live;
    this.#reopen = reopen;
    this.#rebuild = rebuild;
    this.#watch(live);
  }

  /** The runtime of the moment; lost, while it is being replaced. What it says of the host stays true. */
  get live(): Runtime {
    return this.#live;
  }

  /** @returns stops listening */
  listen(listener: (event: RecoveryEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** @throws DeviceLost when there is no device any more, and will be none */
  assertUsable(): void {
    if (this.#gaveUp) throw this.#gaveUp;
  }

  /**
   * Runs `work` on the device of the moment; when that is lost under it, waits for the next one and runs it again.
   * @throws what `work` threw; DeviceLost when recovery gave up, and why it failed when it did; the signal's reason while waiting
   */
  async run<T>(work: (runtime: Runtime) => Promise<T>, signal: AbortSignal): Promise<T> {
    for (;;) {
      const runtime = await this.#usable(signal);
      try {
        return await this.#unlessLost(runtime, work(runtime));
      } catch (error) {
        if (signal.aborted && error === signal.reason) throw error;
        const cause = await runtime.gpu.explain(error);
        if (!(cause instanceof DeviceLost)) throw cause;
      }
    }
  }

  /** A request came to its end: losses so far are history. */
  finished(): void {
    if (!this.#recovering) this.#losses = 0;
  }

  async #usable(signal: AbortSignal): Promise<Runtime> {
    for (;;) {
      signal.throwIfAborted();
      this.assertUsable();
      if (!this.#recovering && this.#live.gpu.loss) this.#start(this.#live.gpu.loss);
      if (!this.#recovering) return this.#live;
      const failure = await orAborted(this.#recovering, signal);
      if (failure) throw failure;
    }
  }

  /** A result that came before the news of the loss counts: the session has it. */
  async #unlessLost<T>(runtime: Runtime, work: Promise<T>): Promise<T> {
    let leave: () => void = () => undefined;
    const left = new Promise<never>((_, reject) => (leave = () => reject(runtime.gpu.loss)));
    this.#atWork.add(leave);
    try {
      return await Promise.race([work, left]);
    } finally {
      this.#atWork.delete(leave);
    }
  }

  #watch(runtime: Runtime): void {
    void runtime.gpu.lost.then(() => {
      const atWork = [...this.#atWork];
      if (atWork.length > 0) setTimeout(() => atWork.forEach((leave) => leave()), GRACE_MS);
      if (this.#closing.signal.aborted) this.#tellLost(infoOf(runtime.gpu.loss!));
      else if (this.#live === runtime && !this.#recovering) this.#start(runtime.gpu.loss!);
    });
  }

  #start(loss: DeviceLost): void {
    const now = performance.now();
    const isIdle = this.#atWork.size === 0;
    if (isIdle && now - this.#bornAt > LONG_LIFE_MS) this.#losses = 0;
    if (this.#losses === 0) this.#lostAt = now;
    this.#live.experts.abandon();
    this.#recovering = this.#recover(loss).then(
      () => null,
      (failure: unknown) => failure,
    );
    void this.#recovering.then(() => (this.#recovering = null));
  }

  /** @throws why the model does not run again */
  async #recover(loss: DeviceLost): Promise<void> {
    const { signal } = this.#closing;
    for (let last = loss; ;) {
      this.#losses++;
      this.#emit('lost', last.message);
      if (!this.#reopen || last.details.reason === 'destroyed' || this.#losses >= MAX_LOSSES) throw this.#giveUp(last);
      await sleep(BACK_OFF_MS[this.#losses - 1]!, signal);
      this.#emit('rebuilding', last.message);
      try {
        this.#live = await this.#next(this.#reopen);
        break;
      } catch (error) {
        if (signal.aborted) throw error;
        if (!isLoss(error)) {
          this.#emit('failed', error instanceof Error ? error.message : String(error));
          throw error;
        }
        last = asLoss(error);
      }
    }
    this.#bornAt = performance.now();
    this.#emit('recovered', loss.message);
    this.#watch(this.#live);
  }

  async #next(reopen: () => Promise<Gpu>): Promise<Runtime> {
    const { signal } = this.#closing;
    const old = this.#live.gpu;
    const gpu = await reopen();
    Object.assign(gpu.counters, old.counters);
    const next = await this.#rebuild(gpu, this.#live, signal);
    old.dispose();
    return next;
  }

  #giveUp({ message, details }: DeviceLost): DeviceLost {
    const losses = this.#losses;
    this.#gaveUp =
      losses === 1
        ? new DeviceLost(message, { ...details, losses })
        : new DeviceLost(
            `The GPU device was lost ${losses} times in a row: reload the page, or load the model with a smaller gpuBytes. After two crashes, Chromium gives a page no graphics adapter for two minutes unless it is reloaded. The last: ${message}`,
            { ...details, losses },
          );
    this.#emit('gave-up', message);
    this.#tellLost(infoOf(this.#gaveUp));
    return this.#gaveUp;
  }

  #emit(phase: RecoveryEvent['phase'], reason: string): void {
    const event = { phase, attempt: this.#losses, reason, ms: performance.now() - this.#lostAt };
    for (const listener of this.#listeners) listener(event);
  }

  /** Ends what recovers; nothing is replaced any more. The runtime that is left is the caller's to free. */
  async close(): Promise<Runtime> {
    this.#closing.abort(new DOMException('The model was disposed', 'AbortError'));
    await this.#recovering;
    const { loss } = this.#live.gpu;
    if (loss) this.#tellLost(infoOf(loss));
    return this.#live;
  }
}

/** As `GPUDevice.lost` has it. */
const infoOf = ({ details }: DeviceLost): { readonly reason: string; readonly message: string } => ({
  reason: String(details.reason),
  message: String(details.said),
});

/** After a crash there may be no adapter for a while: no other fault than the loss itself. */
const isLoss = (error: unknown): error is DeviceLost | DeviceCapability =>
  error instanceof DeviceLost || (error instanceof DeviceCapability && error.reason === 'no-adapter');

function asLoss(error: DeviceLost | DeviceCapability): DeviceLost {
  if (error instanceof DeviceLost) return error;
  invariant(error.reason === 'no-adapter', 'another fault than a missing adapter');
  return new DeviceLost(error.message, { reason: 'unknown', said: error.message });
}
