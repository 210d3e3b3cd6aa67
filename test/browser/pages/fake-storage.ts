/** A scripted storage with three models: one whole, one half downloaded, one in use. */
import type { ModelStorage, StoredModel, VerifyResult } from '../../../src/index.ts';
import type { FakeError } from './fake.ts';

const DAY_MS = 86_400_000;

const models = (): StoredModel[] => [
  {
    id: 'a',
    source: 'https://example.org/models/olmoe-1b-7b/',
    precision: 'q4',
    bytes: 4.2e9,
    totalBytes: 4.2e9,
    lastUsed: new Date(Date.now() - DAY_MS),
    inUse: false,
  },
  {
    id: 'b',
    source: 'https://example.org/models/qwen3-30b-a3b/',
    precision: 'as-is',
    bytes: 3.1e9,
    totalBytes: 16.4e9,
    lastUsed: new Date(Date.now() - 3 * DAY_MS),
    inUse: false,
  },
  {
    id: 'c',
    source: 'mixtral-folder',
    precision: 'q8',
    bytes: 700e6,
    totalBytes: 700e6,
    lastUsed: new Date(),
    inUse: true,
  },
];

export class StorageScript implements ModelStorage {
  readonly #error: (kind: FakeError) => unknown;
  #models: StoredModel[];
  #persisted = false;
  #failing: FakeError | null = null;
  #verify:
    | {
        resolve: (result: VerifyResult) => void;
        reject: (error: unknown) => void;
        onProgress: ((done: number, total: number) => void) | undefined;
      }
    | undefined;
  /** What the browser answers when asked to keep it. */
  agrees = true;

  constructor(kind: string, error: (kind: FakeError) => unknown) {
    this.#models = kind === 'empty' ? [] : models();
    this.#error = error;
  }

  /** The next call fails. */
  failNext(kind: FakeError): void {
    this.#failing = kind;
  }

  #check(): void {
    const failing = this.#failing;
    this.#failing = null;
    if (failing) throw this.#error(failing);
  }

  async list(): Promise<readonly StoredModel[]> {
    this.#check();
    return [...this.#models];
  }

  verify(id: string, options: Parameters<ModelStorage['verify']>[1] = {}): Promise<VerifyResult> {
    const { signal, onProgress } = options;
    return new Promise((resolve, reject) => {
      this.#verify = {
        resolve: (result) => {
          const bytes = result.damaged * 2e8;
          this.#models = this.#models.map((m) => (m.id === id ? { ...m, bytes: m.bytes - bytes } : m));
          resolve(result);
        },
        reject,
        onProgress,
      };
      signal?.addEventListener('abort', () => reject(signal.reason));
    });
  }

  verifyProgress(done: number, total: number): void {
    this.#verify?.onProgress?.(done, total);
  }

  finishVerify(records: number, damaged: number): void {
    this.#verify?.resolve({ records, damaged });
  }

  failVerify(kind: FakeError): void {
    this.#verify?.reject(this.#error(kind));
  }

  async remove(id: string): Promise<void> {
    this.#check();
    this.#models = this.#models.filter((model) => model.id !== id);
  }

  async tidy(): Promise<number> {
    this.#check();
    return 12.5e6;
  }

  async persist(): Promise<boolean> {
    this.#check();
    this.#persisted = this.agrees;
    return this.agrees;
  }

  async persisted(): Promise<boolean> {
    return this.#persisted;
  }
}
