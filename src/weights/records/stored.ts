/** Models that earlier sessions left in the cache: what a storage manager shows. */

export interface StoredModel {
  /** Names it for `verify` and `remove`. */
  readonly id: string;
  /** URL, or the name of the folder, that it came from. */
  readonly source: string;
  /** As in `as-is`, `q8`, `q4`. */
  readonly precision: string;
  /** On disk now, and when complete. */
  readonly bytes: number;
  readonly totalBytes: number;
  readonly lastUsed: Date;
  /** Loaded in this or another tab: it cannot be removed now. */
  readonly inUse: boolean;
}

export interface VerifyResult {
  readonly records: number;
  /** Found damaged, and dropped: they are fetched again when needed. */
  readonly damaged: number;
}

export interface ModelStorage {
  list(): Promise<readonly StoredModel[]>;
  verify(
    id: string,
    options?: { readonly onProgress?: (done: number, total: number) => void; readonly signal?: AbortSignal },
  ): Promise<VerifyResult>;
  /** @throws InvalidRequest when it is in use */
  remove(id: string): Promise<void>;
  /** Deletes what is left over from other versions and from crashes. @returns bytes freed */
  tidy(): Promise<number>;
  /** Asks the browser to keep the cache when disk space runs low. Call it from a click. @returns whether it will */
  persist(): Promise<boolean>;
  persisted(): Promise<boolean>;
}
