/** A device with what the engine needs around it: buffers by role, compiled pipelines, counters, readback. */
import { DeviceLost, OutOfBudget, WebmoeError } from '../errors.ts';
import { invariant, InvariantError } from '../util/assert.ts';
import { sum } from '../util/math.ts';
import { bufferBytes, Ledger, type BufferRole, type BufferView } from './buffer.ts';
import { factsOf, openDevice, type DeviceFacts, type OpenDeviceOptions } from './device.ts';
import { PipelineCache } from './pipeline.ts';
import type { KernelTimer } from './timer.ts';

/** What a GPU pays for; `webmoe bench` and the tests read it. */
export interface Counters {
  dispatches: number;
  passes: number;
  submits: number;
  readbacks: number;
  readbackBytes: number;
  uploadBytes: number;
  buffersCreated: number;
  bindGroupsCreated: number;
  pipelinesCreated: number;
}

const noCounts = (): Counters => ({
  dispatches: 0,
  passes: 0,
  submits: 0,
  readbacks: 0,
  readbackBytes: 0,
  uploadBytes: 0,
  buffersCreated: 0,
  bindGroupsCreated: 0,
  pipelinesCreated: 0,
});

/**
 * Calls fail before their device is known to be lost: 17 to 29 ms before in Chromium whose GPU process was crashed. An error that nothing else
 * explains waits so long for that news.
 */
const NEWS_OF_LOSS_MS = 500;

interface GpuParts {
  readonly device: GPUDevice;
  readonly facts: DeviceFacts;
  readonly counters: Counters;
  readonly pipelines: PipelineCache;
}

export class Gpu {
  readonly device: GPUDevice;
  readonly facts: DeviceFacts;
  readonly counters: Counters;
  readonly ledger = new Ledger();
  readonly pipelines: PipelineCache;
  /** Times every dispatch of the programs that were recorded on this, while it is set. */
  timer: KernelTimer | null = null;
  /** Resolves, never rejects, when the device is lost or destroyed. */
  readonly lost: Promise<GPUDeviceLostInfo>;
  readonly #ownsDevice: boolean;
  #lost: GPUDeviceLostInfo | undefined;
  #refused: string | undefined;
  /** What `allocating` has made so far. */
  #making: GPUBuffer[] | null = null;
  readonly #onRefused = (event: GPUUncapturedErrorEvent): void => {
    this.#refused ??= event.error.message;
  };

  private constructor({ device, facts, counters, pipelines }: GpuParts, ownsDevice: boolean, isForeign = false) {
    this.device = device;
    this.facts = facts;
    this.counters = counters;
    this.pipelines = pipelines;
    this.#ownsDevice = ownsDevice;
    this.lost = device.lost.then((info) => (this.#lost = info));
    // Of a foreign device, most refused calls are its owner's.
    if (!isForeign) device.addEventListener?.('uncapturederror', this.#onRefused);
  }

  /** @param shaders texts by path: the engine's are those of `openGpu` (open.ts) */
  static async open(shaders: Readonly<Record<string, string>>, options: OpenDeviceOptions = {}): Promise<Gpu> {
    const { device, facts } = await openDevice(options);
    const counters = noCounts();
    return new Gpu({ device, facts, counters, pipelines: new PipelineCache(device, counters, shaders) }, true);
  }

  /**
   * Around a device that somebody else opened: disposing frees what was made here, and leaves the device alone.
   * @param shaders texts by path
   */
  static around(device: GPUDevice, shaders: Readonly<Record<string, string>>): Gpu {
    const counters = noCounts();
    const pipelines = new PipelineCache(device, counters, shaders);
    return new Gpu({ device, facts: factsOf(device), counters, pipelines }, false, true);
  }

  /**
   * The same device and compiled pipelines with a ledger of its own: disposing it frees its own buffers and leaves the device alone.
   * @param facts what kernels are chosen by; tests run those for hardware on a software adapter, and the other way round
   */
  share(facts: DeviceFacts = this.facts): Gpu {
    const { device, counters, pipelines } = this;
    return new Gpu({ device, facts, counters, pipelines }, false);
  }

  /** @throws DeviceLost, also when it is why WebGPU refused an earlier call; InvariantError when it refused one that was wrong */
  assertAlive(): void {
    if (this.#lost) throw lossOf(this.#lost);
    invariant(!this.#refused, `WebGPU refused a call: ${this.#refused ?? ''}`);
  }

  /** How the device was lost; null while it lives. */
  get loss(): DeviceLost | null {
    return this.#lost ? lossOf(this.#lost) : null;
  }

  /** What really happened: when a device is lost, pending calls fail first, each in its own way. */
  async explain(error: unknown): Promise<unknown> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ms = error instanceof WebmoeError ? 0 : NEWS_OF_LOSS_MS;
    await Promise.race([this.lost, new Promise((resolve) => (timer = setTimeout(resolve, ms)))]);
    clearTimeout(timer);
    if (this.#lost) return lossOf(this.#lost);
    return this.#refused === undefined ? error : new InvariantError(`WebGPU refused a call: ${this.#refused}`);
  }

  createBuffer(label: string, role: BufferRole, size: number, extraUsage = 0): GPUBuffer {
    const bytes = bufferBytes(size);
    invariant(Number.isSafeInteger(bytes), `buffer ${label} of ${size} bytes`);
    const usage =
      role === 'readback'
        ? GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST
        : GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    const buffer = this.device.createBuffer({ label, size: bytes, usage: usage | extraUsage });
    return this.#made(buffer, role);
  }

  #made(buffer: GPUBuffer, role: BufferRole): GPUBuffer {
    this.counters.buffersCreated++;
    this.ledger.add(buffer, role);
    this.#making?.push(buffer);
    return buffer;
  }

  /** A buffer that the CPU writes in place, mapped already. Counted as staging. */
  createMapped(label: string, size: number): GPUBuffer {
    const usage = GPUBufferUsage.MAP_WRITE | GPUBufferUsage.COPY_SRC;
    const buffer = this.device.createBuffer({ label, size: bufferBytes(size), usage, mappedAtCreation: true });
    return this.#made(buffer, 'staging');
  }

  destroyBuffer(buffer: GPUBuffer): void {
    this.ledger.remove(buffer);
    buffer.destroy();
  }

  /** `data` must be a multiple of four bytes long, as `writeBuffer` wants. */
  write(view: BufferView, data: ArrayBufferView, offset = 0): void {
    invariant(
      offset + data.byteLength <= view.size,
      `write of ${data.byteLength} bytes at ${offset} into ${view.size} of ${view.buffer.label}`,
    );
    this.device.queue.writeBuffer(
      view.buffer,
      view.offset + offset,
      data.buffer as ArrayBuffer,
      data.byteOffset,
      data.byteLength,
    );
    this.counters.uploadBytes += data.byteLength;
  }

  submit(commands: GPUCommandBuffer): void {
    this.assertAlive();
    this.device.queue.submit([commands]);
    this.counters.submits++;
  }

  /** Waits until everything submitted so far has run. */
  async idle(): Promise<void> {
    await this.device.queue.onSubmittedWorkDone();
    this.assertAlive();
  }

  /**
   * Runs `make`, all of whose buffers can be had, or none stays.
   * @param what names it for the message
   * @throws OutOfBudget; its `allocatedBytes` are what the GPU did have room for
   */
  async allocating<T>(what: string, make: () => T): Promise<T> {
    this.device.pushErrorScope('validation');
    this.device.pushErrorScope('out-of-memory');
    const making: GPUBuffer[] = (this.#making = []);
    let result: { readonly made: T } | { readonly error: unknown };
    try {
      result = { made: make() };
    } catch (error) {
      result = { error };
    }
    this.#making = null;
    try {
      const [noMemory, invalid] = await Promise.all([this.device.popErrorScope(), this.device.popErrorScope()]);
      if (noMemory) throw this.#outOfMemory(what, making, noMemory.message);
      // A mapped buffer that cannot be had throws at once.
      if ('error' in result && result.error instanceof RangeError)
        throw this.#outOfMemory(what, making, result.error.message);
      invariant(!invalid, `allocating ${what}: ${invalid?.message ?? ''}`);
      if ('error' in result) throw result.error;
      return result.made;
    } catch (error) {
      for (const buffer of making) this.destroyBuffer(buffer);
      throw error;
    }
  }

  #outOfMemory(what: string, making: readonly GPUBuffer[], message: string): OutOfBudget {
    const bytes = sum(making.map((buffer) => buffer.size));
    const allocatedBytes = sum(Object.values(this.ledger.bytesByRole())) - bytes;
    return new OutOfBudget(`The GPU has no room for ${what}: ${message}`, { what, bytes, allocatedBytes });
  }

  /** Copies `view` back through a temporary buffer. Not for the token loop, which owns a persistent `Readback`. */
  read(view: BufferView): Promise<ArrayBuffer> {
    return this.readAll([view]);
  }

  /** As `read`, of several views whose sizes are multiples of four: one after the other, in one submit. */
  async readAll(views: readonly BufferView[]): Promise<ArrayBuffer> {
    const size = sum(views.map((v) => v.size));
    const label = `read ${views[0]?.buffer.label}`;
    const staging = await this.allocating(label, () => this.createBuffer(label, 'readback', size));
    try {
      const encoder = this.device.createCommandEncoder();
      let at = 0;
      for (const view of views) {
        encoder.copyBufferToBuffer(view.buffer, view.offset, staging, at, bufferBytes(view.size));
        at += view.size;
      }
      this.submit(encoder.finish());
      await staging.mapAsync(GPUMapMode.READ);
      this.counters.readbacks++;
      this.counters.readbackBytes += size;
      return staging.getMappedRange().slice(0, size);
    } finally {
      this.destroyBuffer(staging);
    }
  }

  /** Frees every buffer now, and an own device now or when its compilers are done. */
  dispose(): void {
    for (const buffer of [...this.ledger.liveBuffers]) this.destroyBuffer(buffer);
    this.device.removeEventListener?.('uncapturederror', this.#onRefused);
    if (!this.#ownsDevice) return;
    const { settled } = this.pipelines;
    // Dawn's `destroy` stands still until its compilers are done: 46 s once. Nobody waits for that here.
    if (settled) void settled.then(() => this.device.destroy());
    else this.device.destroy();
  }
}

const lossOf = ({ reason, message }: GPUDeviceLostInfo): DeviceLost =>
  new DeviceLost(`The GPU device was lost (${reason}): ${message}`, { reason, said: message });
