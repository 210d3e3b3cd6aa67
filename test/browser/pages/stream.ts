/** The engine on `window`, for tests of where its experts come from: over the network, from this browser's storage, or not at all. */
import {
  load,
  openStorage,
  type ExpertStats,
  type LoadOptions,
  type LoadProgress,
  type Model,
  type RecoveryEvent,
} from '../../../src/index.ts';
import { prng } from '../../../src/util/prng.ts';
import { blockSource } from '../../../src/weights/block-source.ts';
import { forwardSource } from '../../../src/weights/forward-source.ts';
import { httpSource } from '../../../src/weights/http-source.ts';
import { TOP_FOLDER } from '../../../src/weights/records/browser-folder.ts';
import type { RetryOptions } from '../../../src/weights/retry.ts';

export type StreamOptions = Pick<
  LoadOptions,
  | 'collect'
  | 'contextLength'
  | 'diskBytes'
  | 'expertsResident'
  | 'gpuBytes'
  | 'hostBytes'
  | 'mode'
  | 'prefillChunk'
  | 'start'
  | 'weights'
  | 'worker'
> & {
  readonly storage?: null;
  /** Shorter waits than a visitor's; then no byte is in memory that was not just read. */
  readonly retry?: RetryOptions;
};

export interface Answer {
  readonly ids: number[];
  readonly text: string;
  readonly finishReason: string;
}

/** What an error shows of itself. */
export interface Failure {
  readonly name: string;
  readonly code: unknown;
  readonly message: string;
}

const failureOf = (error: unknown): Failure => {
  const { name, message, code } = error as Error & { readonly code?: unknown };
  return { name, code, message };
};

const hex = (bytes: ArrayBuffer): string =>
  Array.from(new Uint8Array(bytes), (b) => b.toString(16).padStart(2, '0')).join('');

class Stream {
  #model: Model | undefined;
  /** Of the model loaded last. */
  recoveries: RecoveryEvent[] = [];
  /** Bytes that the load under way has read. */
  loadedBytes = 0;
  totalBytes = 0;
  /** Of that load. */
  phase: LoadProgress['phase'] | null = null;

  get model(): Model {
    if (!this.#model) throw new Error('no model is loaded');
    return this.#model;
  }

  /** Buffers of the GPU that the model made so far. */
  async buffers(): Promise<number> {
    return (await this.model.counters()).buffersCreated;
  }

  async load(url: string, { retry, ...options }: StreamOptions = {}): Promise<void> {
    await this.#model?.dispose();
    this.#model = undefined;
    const source = retry
      ? blockSource(forwardSource(httpSource(url, { retry })), { blockBytes: 16_384, blocks: 1 })
      : url;
    this.recoveries = [];
    this.loadedBytes = 0;
    const onProgress: LoadOptions['onProgress'] = (progress) => {
      this.loadedBytes = progress.loadedBytes;
      this.totalBytes = progress.totalBytes;
      this.phase = progress.phase;
    };
    this.#model = await load(source, { contextLength: 128, onProgress, ...options });
    this.#model.onRecovery((event) => this.recoveries.push(event));
  }

  /** null when it worked. */
  async tryLoad(url: string, options: StreamOptions = {}): Promise<Failure | null> {
    try {
      await this.load(url, options);
      return null;
    } catch (error) {
      return failureOf(error);
    }
  }

  /** Greedy. @param onToken called after each token */
  async answer(prompt: string | readonly number[], maxTokens: number, signal?: AbortSignal): Promise<Answer> {
    const asked = typeof prompt === 'string' ? [{ role: 'user' as const, content: prompt }] : { ids: prompt };
    const ids: number[] = [];
    const answer = this.model.generate(asked, {
      temperature: 0,
      repetitionPenalty: 1,
      ignoreEnd: true,
      maxTokens,
      ...(signal && { signal }),
    });
    for (;;) {
      const { value, done } = await answer.next();
      if (done) return { ids, text: value.text, finishReason: value.finishReason };
      ids.push(value.id);
      window.onDrawn?.(ids.length);
    }
  }

  /** The answer, or why there is none. */
  async tryAnswer(prompt: string | readonly number[], maxTokens: number): Promise<Answer | Failure> {
    try {
      return await this.answer(prompt, maxTokens);
    } catch (error) {
      return failureOf(error);
    }
  }

  /**
   * Aborts after so many milliseconds, `times` times, each followed by the beginning of an answer.
   * @returns how long each took to return after the abort, -1 where the answer came first; and the answers that were not `wanted`
   */
  async aborts(
    prompt: readonly number[],
    wanted: readonly number[],
    times: number,
    mostMs: number,
  ): Promise<{ latencies: number[]; wrong: string[] }> {
    const random = prng(7);
    const latencies: number[] = [];
    const wrong: string[] = [];
    for (let i = 0; i < times; i++) {
      // Everything is to be brought again.
      await this.evict(1);
      const controller = new AbortController();
      let abortedAt = 0;
      const timer = setTimeout(() => {
        abortedAt = performance.now();
        controller.abort();
      }, random() * mostMs);
      const cut = await this.answer(prompt, wanted.length, controller.signal);
      latencies.push(cut.finishReason === 'abort' ? performance.now() - abortedAt : -1);
      clearTimeout(timer);
      if (cut.ids.some((id, at) => id !== wanted[at])) wrong.push(`cut ${i}: ${cut.ids.join(' ')}`);
      const whole = await this.answer(prompt, 3);
      if (whole.ids.join() !== wanted.slice(0, 3).join()) wrong.push(`after ${i}: ${whole.ids.join(' ')}`);
    }
    return { latencies, wrong };
  }

  /** SHA-256 of the logits' bits. */
  async logitBits(ids: readonly number[]): Promise<string> {
    const { logits } = await this.model.logits(ids);
    return hex(await crypto.subtle.digest('SHA-256', logits as Float32Array<ArrayBuffer>));
  }

  /** Takes each expert off the GPU with this chance. @returns how many left */
  async evict(chance: number, seed = 1): Promise<number> {
    const random = prng(seed);
    const { resident: before, layers } = await this.stats;
    let now: number;
    // Again, when chance spared all of a tiny model's few.
    do {
      for (const [layer, { experts }] of layers.entries())
        for (let e = 0; e < experts; e++) if (random() < chance) await this.model.evict(layer, e);
      now = (await this.stats).resident;
    } while (before > 0 && now === before);
    return before - now;
  }

  get stats(): Promise<ExpertStats> {
    return this.model.expertStats().then((stats) => stats!);
  }

  get kept(): { presentBytes: number; totalBytes: number; isComplete: boolean } | null {
    const { kept } = this.model;
    return kept && { presentBytes: kept.presentBytes, totalBytes: kept.totalBytes, isComplete: kept.isComplete };
  }

  async settled(): Promise<void> {
    await this.model.settled();
  }

  async dispose(): Promise<void> {
    await this.#model?.dispose();
    this.#model = undefined;
  }

  /**
   * Flips one bit in the middle of every `every`th record's place of each record file: nothing may be loaded.
   * @returns how many
   */
  async flipBits(every: number): Promise<number> {
    let flipped = 0;
    const top = await (await navigator.storage.getDirectory()).getDirectoryHandle(TOP_FOLDER);
    for await (const model of top.values()) {
      if (model.kind !== 'directory') continue;
      for await (const file of (model as FileSystemDirectoryHandle).values()) {
        if (file.kind !== 'file' || !file.name.endsWith('.records')) continue;
        const handle = file as FileSystemFileHandle;
        const bytes = new Uint8Array(await (await handle.getFile()).arrayBuffer());
        // Places of 4096 bytes at least: one bit in every so many of them.
        for (let at = 100; at < bytes.length; at += 4096 * every) {
          bytes[at]! ^= 1 << (at % 8);
          flipped++;
        }
        const writer = await handle.createWritable();
        await writer.write(bytes);
        await writer.close();
      }
    }
    return flipped;
  }

  /** Names of everything in the folder of webmoe, with sizes. */
  async files(): Promise<Record<string, number>> {
    const found: Record<string, number> = {};
    const walk = async (directory: FileSystemDirectoryHandle, path: string): Promise<void> => {
      for await (const entry of directory.values()) {
        if (entry.kind === 'directory') await walk(entry as FileSystemDirectoryHandle, `${path}${entry.name}/`);
        else found[path + entry.name] = (await (entry as FileSystemFileHandle).getFile()).size;
      }
    };
    await walk(await navigator.storage.getDirectory(), '');
    return found;
  }

  /** Of the storage that a model would be kept in. */
  async storageNote(): Promise<string | null | undefined> {
    return (await openStorage()).note;
  }
}

declare global {
  interface Window {
    stream: Stream;
    /** Told of each token. */
    onDrawn?: (count: number) => void;
  }
}

window.stream = new Stream();
