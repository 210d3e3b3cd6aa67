/** The models that are kept, as an application sees them. */
import { InvalidRequest } from '../errors.ts';
import type { ModelStorage, StoredModel, VerifyResult } from '../weights/records/stored.ts';

export interface VerifyOptions {
  /** Records checked so far, and all of them. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

export interface StoredModels {
  /** @throws StorageError when nothing can be kept here, or it cannot be read */
  list(): Promise<readonly StoredModel[]>;
  /**
   * Reads all records and drops those that are damaged; they are fetched again when needed.
   * @throws InvalidRequest when no model has that id, or it is in use
   * @throws StorageError; the signal's reason when aborted
   */
  verify(id: string, options?: VerifyOptions): Promise<VerifyResult>;
  /**
   * @throws InvalidRequest when no model has that id, or it is in use
   * @throws StorageError
   */
  delete(id: string): Promise<void>;
}

/** @param open rejects with StorageError where there is no storage */
export function storedModels(open: () => Promise<ModelStorage>): StoredModels {
  return {
    list: async () => (await open()).list(),
    verify: async (id, options) => (await open()).verify(id, options),
    async delete(id) {
      const storage = await open();
      if (!(await storage.list()).some((model) => model.id === id))
        throw new InvalidRequest(`No stored model is called ${id}: see list()`, { id });
      await storage.remove(id);
    },
  };
}
