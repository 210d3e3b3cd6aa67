/** Everything that earlier sessions left: listed, checked, removed, tidied. */
import { InvalidRequest, StorageError } from '../../errors.ts';
import type { RecordFolder } from './folder.ts';
import { isModelFolderName, isSourceKey, modelFolderName } from './identity.ts';
import type { RecordLock } from './lock.ts';
import { readManifest, type Manifest } from './manifest.ts';
import { openRecordCache, restore } from './open-cache.ts';
import { RecordTable } from './record-table.ts';
import { persist, persisted } from './persist.ts';
import type { ModelStorage, StoredModel, VerifyResult } from './stored.ts';
import { bytesIn, sweep } from './sweep.ts';

export interface RecordStorage extends ModelStorage {
  /**
   * Removes the models that were used the longest ago, until `bytes` are free or none is left that may go.
   * @param keepId stays, and so does what is in use
   * @returns bytes freed
   */
  makeRoom(bytes: number, keepId: string | null): Promise<number>;
}

/** @param root as given to `openRecordCache`, and `lock` too */
export const modelStorage = (root: RecordFolder, lock: RecordLock): RecordStorage => new Storage(root, lock);

class Storage implements RecordStorage {
  readonly #root: RecordFolder;
  readonly #lock: RecordLock;

  constructor(root: RecordFolder, lock: RecordLock) {
    this.#root = root;
    this.#lock = lock;
  }

  async list(): Promise<StoredModel[]> {
    const found: StoredModel[] = [];
    for (const id of await this.#ids()) {
      const manifest = await this.#manifest(id);
      if (!manifest) continue;
      const { identity, totalBytes, lastUsed } = manifest;
      found.push({
        id,
        source: identity.source,
        precision: identity.precision,
        bytes: await presentBytes(await this.#root.folder(id), manifest),
        totalBytes,
        lastUsed: new Date(lastUsed),
        inUse: await this.#lock.isHeld(id),
      });
    }
    return found;
  }

  async verify(id: string, { onProgress, signal }: Parameters<ModelStorage['verify']>[1] = {}): Promise<VerifyResult> {
    const manifest = isModelFolderName(id) ? await this.#manifest(id) : null;
    if (!manifest) throw new InvalidRequest(`No stored model is called ${id}: see list()`, { id });
    // Only looked at: nothing new is reserved, and it was not used.
    const options = { lock: this.#lock, diskBytes: 0, now: () => manifest.lastUsed };
    const cache = await openRecordCache(this.#root, manifest.identity, manifest.files, options).catch(
      (error: unknown) => {
        if (error instanceof StorageError && error.reason === 'in-use') throw inUse(id, manifest.identity.source);
        throw error;
      },
    );
    try {
      return await cache.verify(onProgress, signal);
    } finally {
      await cache.close();
    }
  }

  async remove(id: string): Promise<void> {
    if (!(await this.#ids()).includes(id)) return;
    if ((await this.#removeUnused(id)) === null) {
      throw inUse(id, (await this.#manifest(id))?.identity.source ?? id);
    }
  }

  async tidy(): Promise<number> {
    let freed = 0;
    for (const { name, bytes } of await this.#root.list()) {
      // A path may be somebody's folder with things of their own; what a browser keeps for us is ours.
      if (this.#root.kind === 'path') continue;
      await this.#root.remove(name);
      freed += bytes;
    }
    for (const name of await this.#root.folders()) {
      if (isModelFolderName(name)) freed += await this.#tidyModel(name);
      else if (!isSourceKey(name) && this.#root.kind !== 'path') freed += await this.#removeFolder(name);
    }
    const sources = new Set((await this.#ids()).map(sourceOf));
    for (const name of await this.#root.folders()) {
      if (isSourceKey(name) && !sources.has(name)) freed += await this.#removeFolder(name);
    }
    return freed;
  }

  async makeRoom(bytes: number, keepId: string | null): Promise<number> {
    const models = (await this.list()).filter(({ id, inUse }) => id !== keepId && !inUse);
    models.sort((a, b) => a.lastUsed.getTime() - b.lastUsed.getTime());
    let freed = 0;
    for (const { id } of models) {
      if (freed >= bytes) break;
      freed += (await this.#removeUnused(id)) ?? 0;
    }
    return freed;
  }

  async persist(): Promise<boolean> {
    if (this.#root.kind === 'path') return true;
    return this.#isBrowsers ? persist() : false;
  }

  async persisted(): Promise<boolean> {
    if (this.#root.kind === 'path') return true;
    return this.#isBrowsers ? persisted() : false;
  }

  get #isBrowsers(): boolean {
    return this.#root.kind !== 'memory' && typeof navigator === 'object';
  }

  async #ids(): Promise<string[]> {
    return (await this.#root.folders()).filter(isModelFolderName);
  }

  /** null also when it cannot be read now. */
  async #manifest(id: string): Promise<Manifest | null> {
    try {
      const manifest = await readManifest(await this.#root.folder(id));
      return manifest && modelFolderName(manifest.identity) === id ? manifest : null;
    } catch (error) {
      if (error instanceof StorageError) return null;
      throw error;
    }
  }

  /** With what is kept of its source, when no other model has the same. @returns bytes freed, null when it is in use */
  async #removeUnused(id: string): Promise<number | null> {
    const lease = await this.#lock.acquire(id);
    if (!lease) return null;
    try {
      let freed = await this.#removeFolder(id);
      const source = sourceOf(id);
      if (!(await this.#ids()).some((other) => sourceOf(other) === source)) freed += await this.#removeFolder(source);
      return freed;
    } finally {
      await lease.release();
    }
  }

  async #tidyModel(id: string): Promise<number> {
    const lease = await this.#lock.acquire(id);
    if (!lease) return 0; // whoever uses it keeps it tidy
    try {
      const manifest = await this.#manifest(id);
      if (!manifest) return await this.#removeFolder(id);
      return await sweep(await this.#root.folder(id), manifest.files);
    } finally {
      await lease.release();
    }
  }

  async #removeFolder(name: string): Promise<number> {
    if (!(await this.#root.folders()).includes(name)) return 0;
    const bytes = await bytesIn(await this.#root.folder(name));
    await this.#root.removeFolder(name);
    return bytes;
  }
}

/** A model folder's name begins with that of its source. */
const sourceOf = (id: string): string => id.slice(0, id.indexOf('-'));

const inUse = (id: string, source: string): InvalidRequest =>
  new InvalidRequest(`${source} is in use, here or in another tab or process: close it there first`, { id });

/** Of whole strides. The manifest's own number is older than the journal. */
export async function presentBytes(folder: RecordFolder, manifest: Manifest): Promise<number> {
  const tables = manifest.files.map((spec) => new RecordTable(spec));
  try {
    await restore(folder, manifest, tables);
  } catch (error) {
    if (error instanceof StorageError) return manifest.bytes; // another tab has the journal open
    throw error;
  }
  return tables.reduce((sum, { stride, present }) => sum + stride * present, 0);
}
