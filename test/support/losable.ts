/**
 * A WebGPU whose devices a test can take away. All of them are one device underneath, which keeps what it compiled; one that was taken behaves as
 * Chromium's do after a crash of the GPU process: commands do nothing, everything that is pending or asked for later is rejected, mapped buffers
 * cannot be made, and `lost` says so with the reason "unknown".
 */

/** What may be counted on a device: a test takes it away at the n-th. */
export type Moment = 'createBuffer' | 'submit' | 'mapAsync' | 'pipeline' | 'bindGroup' | 'bindGroupLayout';

/** Whether there is no memory for the n-th buffer of a device, of so many bytes. */
export type RefusesBuffer = (device: LosableDevice, count: number, bytes: number) => boolean;
/** What a pipeline waits for after it was asked for. */
export type HoldsPipeline = () => Promise<void>;
export type OnMoment = (device: LosableDevice, moment: Moment, count: number) => void;

type Method = (...args: readonly never[]) => unknown;
type Methods = Readonly<Record<string, Method>>;

const refusal = (name: string): Promise<never> => Promise.reject(new DOMException('the device is lost', name));

export class LosableDevice {
  readonly #inner: GPUDevice;
  readonly #onMoment: OnMoment;
  readonly #refuses: RefusesBuffer;
  readonly #holds: HoldsPipeline;
  /** Buffers that nobody has destroyed. */
  readonly live = new Set<GPUBuffer>();
  readonly #counts = new Map<Moment, number>();
  readonly #listeners: (readonly [string, EventListener])[] = [];
  readonly #scopes: { readonly filter: GPUErrorFilter; refusal: string | null }[] = [];
  #tell: (info: GPUDeviceLostInfo) => void = () => undefined;
  readonly #lost = new Promise<GPUDeviceLostInfo>((resolve) => (this.#tell = resolve));
  readonly device: GPUDevice;
  isLost = false;
  /** Labels of buffers that could not be had while nobody listened. */
  readonly unheard: string[] = [];

  /** @param index how many devices there were before */
  constructor(
    inner: GPUDevice,
    { onMoment, refusesBuffer, holdsPipeline }: Pick<LosableGpu, 'onMoment' | 'refusesBuffer' | 'holdsPipeline'>,
    readonly index: number,
  ) {
    this.#inner = inner;
    this.#onMoment = onMoment;
    this.#refuses = refusesBuffer;
    this.#holds = holdsPipeline;
    const queue = replaced(inner.queue, {
      submit: (commands: Iterable<GPUCommandBuffer>) => {
        this.#at('submit');
        if (!this.isLost) inner.queue.submit(commands);
      },
      writeBuffer: (...args: Parameters<GPUQueue['writeBuffer']>) => {
        if (!this.isLost) inner.queue.writeBuffer(...args);
      },
      onSubmittedWorkDone: () =>
        this.#unlessLost(inner.queue.onSubmittedWorkDone()).then(() =>
          this.isLost ? refusal('OperationError') : undefined,
        ),
    });
    this.device = replaced(inner, this.#methods(), { queue, lost: this.#lost });
  }

  /** Takes it away now. */
  lose(): void {
    this.#end({ reason: 'unknown', message: 'taken by the test' } as GPUDeviceLostInfo);
  }

  #end(info: GPUDeviceLostInfo): void {
    if (this.isLost) return;
    this.isLost = true;
    this.#tell(info);
    for (; this.#scopes.length > 0; this.#scopes.pop()) void this.#inner.popErrorScope();
    for (const buffer of this.live) kill(buffer);
    for (const [type, listener] of this.#listeners) this.#inner.removeEventListener(type, listener);
  }

  #at(moment: Moment): void {
    const count = (this.#counts.get(moment) ?? 0) + 1;
    this.#counts.set(moment, count);
    if (!this.isLost) this.#onMoment(this, moment, count);
  }

  /** As a GPU that is out of memory: the scope around it hears of it, and a mapped buffer throws. */
  #isRefused({ label, size, mappedAtCreation }: GPUBufferDescriptor): boolean {
    if (!this.#refuses(this, this.#counts.get('createBuffer')!, size)) return false;
    if (mappedAtCreation) throw new RangeError(`no memory for ${label}`);
    const scope = this.#scopes.findLast(({ filter }) => filter === 'out-of-memory');
    if (scope) scope.refusal ??= `no memory for ${label}`;
    else this.unheard.push(label ?? '');
    return true;
  }

  /** How many there were so far. */
  count(moment: Moment): number {
    return this.#counts.get(moment) ?? 0;
  }

  #unlessLost<T>(work: Promise<T>): Promise<T> {
    return this.isLost
      ? refusal('OperationError')
      : Promise.race([work, this.#lost.then(() => refusal('OperationError'))]);
  }

  #methods(): Methods {
    const inner = this.#inner;
    return {
      createBuffer: (descriptor: GPUBufferDescriptor) => {
        this.#at('createBuffer');
        if (this.isLost && descriptor.mappedAtCreation) throw new RangeError('createBuffer failed');
        if (this.#isRefused(descriptor)) return kill(inner.createBuffer({ ...descriptor, mappedAtCreation: false }));
        const buffer = inner.createBuffer(descriptor);
        const map = buffer.mapAsync.bind(buffer);
        const destroy = buffer.destroy.bind(buffer);
        this.live.add(buffer);
        buffer.destroy = () => {
          this.live.delete(buffer);
          return destroy();
        };
        buffer.mapAsync = (...args) => {
          this.#at('mapAsync');
          return this.isLost ? refusal('AbortError') : (map(...args) as Promise<never>);
        };
        return this.isLost ? kill(buffer) : buffer;
      },
      createComputePipelineAsync: (descriptor: GPUComputePipelineDescriptor) => {
        this.#at('pipeline');
        return this.#unlessLost(this.#holds().then(() => inner.createComputePipelineAsync(descriptor)));
      },
      createBindGroup: (descriptor: GPUBindGroupDescriptor) => {
        this.#at('bindGroup');
        return inner.createBindGroup(descriptor);
      },
      createBindGroupLayout: (descriptor: GPUBindGroupLayoutDescriptor) => {
        this.#at('bindGroupLayout');
        return inner.createBindGroupLayout(descriptor);
      },
      pushErrorScope: (filter: GPUErrorFilter) => {
        if (this.isLost) return;
        this.#scopes.push({ filter, refusal: null });
        inner.pushErrorScope(filter);
      },
      popErrorScope: () => {
        if (this.isLost) return refusal('OperationError');
        const message = this.#scopes.pop()!.refusal;
        return this.#unlessLost(inner.popErrorScope().then((error) => (message === null ? error : { message })));
      },
      addEventListener: (type: string, listener: EventListener) => {
        this.#listeners.push([type, listener]);
        inner.addEventListener(type, listener);
      },
      destroy: () => this.#end({ reason: 'destroyed', message: 'destroyed' } as GPUDeviceLostInfo),
    };
  }
}

function kill(buffer: GPUBuffer): GPUBuffer {
  buffer.mapAsync = () => refusal('AbortError');
  buffer.destroy();
  return buffer;
}

export class LosableGpu {
  readonly devices: LosableDevice[] = [];
  readonly #gpu: GPU;
  #inner: { readonly adapter: GPUAdapter; readonly device: GPUDevice } | undefined;
  #requests = 0;
  onMoment: OnMoment = () => undefined;
  refusesBuffer: RefusesBuffer = () => false;
  holdsPipeline: HoldsPipeline = () => Promise.resolve();
  /** Which requests for an adapter, from 0, get none. */
  refuses: (request: number) => boolean = () => false;

  constructor(gpu: GPU) {
    this.#gpu = gpu;
  }

  /** The device made last. */
  get last(): LosableDevice {
    return this.devices.at(-1)!;
  }

  get asGpu(): GPU {
    return { requestAdapter: () => this.#adapter() } as unknown as GPU;
  }

  /** Forgets what was counted and scripted so far. */
  reset(): void {
    this.onMoment = () => undefined;
    this.refusesBuffer = () => false;
    this.holdsPipeline = () => Promise.resolve();
    this.refuses = () => false;
    this.#requests = 0;
    this.devices.length = 0;
  }

  async #adapter(): Promise<GPUAdapter | null> {
    if (this.refuses(this.#requests++)) return null;
    const adapter = this.#inner?.adapter ?? (await this.#gpu.requestAdapter());
    if (!adapter) return null;
    const { limits, features, info } = adapter;
    const requestDevice = async (wish?: GPUDeviceDescriptor): Promise<GPUDevice> => {
      this.#inner ??= { adapter, device: await adapter.requestDevice(wish) };
      const hooks = {
        onMoment: (...at: Parameters<OnMoment>) => this.onMoment(...at),
        refusesBuffer: (...at: Parameters<RefusesBuffer>) => this.refusesBuffer(...at),
        holdsPipeline: () => this.holdsPipeline(),
      };
      const made = new LosableDevice(this.#inner.device, hooks, this.devices.length);
      this.devices.push(made);
      return made.device;
    };
    return { limits, features, info, requestDevice } as unknown as GPUAdapter;
  }

  dispose(): void {
    this.#inner?.device.destroy();
  }
}

/** The same object with other methods and properties. */
function replaced<T extends object>(object: T, methods: Methods, values: Readonly<Record<string, unknown>> = {}): T {
  return new Proxy(object, {
    get(target, key) {
      const name = String(key);
      if (name in values) return values[name];
      if (name in methods) return methods[name];
      const value = Reflect.get(target, key, target) as unknown;
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
