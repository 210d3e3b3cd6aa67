/** Progress of a load, smoothed enough to show. */

export interface LoadProgress {
  /**
   * `open`: configs and headers; `elsewhere`: another tab is getting the model, and the bytes are those that it has kept; `weights`: the bulk;
   * `compile`: shaders that take longer than the weights, beside which they begin; `ready`.
   */
  readonly phase: 'open' | 'elsewhere' | 'weights' | 'compile' | 'ready';
  /** Checkpoint bytes read so far, and in all. */
  readonly loadedBytes: number;
  readonly totalBytes: number;
  /** Over the last few seconds; null until there is something to measure. */
  readonly bytesPerSecond: number | null;
  readonly remainingSeconds: number | null;
  /** The same bytes by file of the checkpoint, once it is open, in the order of their names. */
  readonly files?: readonly FileProgress[];
}

export interface FileProgress {
  readonly name: string;
  /** Bytes of weights, without the file's header. */
  readonly loadedBytes: number;
  readonly totalBytes: number;
}

const WINDOW_MS = 3000;
const REPORT_EVERY_MS = 50;

/** Counts bytes and reports at most twenty times a second, and once at every change of phase. */
export class ProgressMeter {
  readonly #report: (progress: LoadProgress) => void;
  readonly #now: () => number;
  #phase: LoadProgress['phase'] = 'open';
  #loaded = 0;
  #total = 0;
  #files = new Map<string, { loaded: number; readonly total: number }>();
  #samples: { at: number; loaded: number }[] = [];
  #reportedAt = -Infinity;

  constructor(report: (progress: LoadProgress) => void, now: () => number = () => performance.now()) {
    this.#report = report;
    this.#now = now;
  }

  /** @param files bytes by file, where they become known */
  enter(phase: LoadProgress['phase'], totalBytes = this.#total, files?: ReadonlyMap<string, number>): void {
    this.#phase = phase;
    this.#total = totalBytes;
    if (files) this.#files = new Map([...files].map(([name, total]) => [name, { loaded: 0, total }]));
    this.#emit();
  }

  /** Another tab has kept so many bytes of what this one waits for. */
  elsewhere(loadedBytes: number, totalBytes: number): void {
    this.#reportedAt = this.#now();
    this.#report({ phase: 'elsewhere', loadedBytes, totalBytes, bytesPerSecond: null, remainingSeconds: null });
  }

  add(bytes: number, file = ''): void {
    this.#loaded += bytes;
    const entry = this.#files.get(file);
    if (entry) entry.loaded += bytes;
    const at = this.#now();
    this.#samples.push({ at, loaded: this.#loaded });
    while (this.#samples.length > 2 && this.#samples[0]!.at < at - WINDOW_MS) this.#samples.shift();
    if (at - this.#reportedAt >= REPORT_EVERY_MS) this.#emit();
  }

  #emit(): void {
    this.#reportedAt = this.#now();
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    const seconds = first && last ? (last.at - first.at) / 1000 : 0;
    const bytesPerSecond = first && last && seconds > 0 ? (last.loaded - first.loaded) / seconds : null;
    this.#report({
      phase: this.#phase,
      loadedBytes: Math.min(Math.round(this.#loaded), this.#total),
      totalBytes: this.#total,
      bytesPerSecond,
      remainingSeconds: bytesPerSecond ? Math.max(0, this.#total - this.#loaded) / bytesPerSecond : null,
      ...(this.#files.size > 0 && { files: this.#byFile() }),
    });
  }

  #byFile(): FileProgress[] {
    return [...this.#files].map(([name, { loaded, total }]) => ({
      name,
      loadedBytes: Math.min(Math.round(loaded), Math.round(total)),
      totalBytes: Math.round(total),
    }));
  }
}
