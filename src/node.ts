/** webmoe in Node: models from a path, WebGPU from Dawn (the npm package `webgpu`). */
import { openOwnDawn } from './cli/dawn.ts';
import { openNodeSource } from './cli/node-source.ts';
import { plan as planSource, type LoadOptions } from './engine/load.ts';
import { storedModels, type StoredModels } from './engine/models.ts';
import type { ModelSource } from './engine/model-source.ts';
import type { Plan } from './engine/plan.ts';
import type { Storage } from './engine/keeping.ts';
import { connectHere } from './surface/here.ts';
import { Link } from './surface/link.ts';
import { Model } from './surface/model.ts';
import { split } from './surface/options.ts';
import { nodeFolder } from './weights/records/node-folder.ts';
import { modelStorage } from './weights/records/storage.ts';
import { nodeLock } from './weights/records/node-lock.ts';

/** As `load` of the main entry, with paths and with Dawn's adapter unless `options.gpu` says otherwise. In this thread. */
export const load = (source: ModelSource, options: LoadOptions = {}): Promise<Model> =>
  Model.open(async () => {
    const connected = connectHere(async (from, given) => {
      const bytes = await openNodeSource(from as ModelSource, given);
      return { bytes, options: { ...given, gpu: given.gpu ?? (await openOwnDawn()) } };
    });
    return Link.load(connected, source, split(options));
  });

/** As `plan` of the main entry, with paths. */
export const plan = async (source: ModelSource, options: Parameters<typeof planSource>[1] = {}): Promise<Plan> =>
  planSource(await openNodeSource(source, { signal: options.signal }), options);

/** A folder for what models keep between starts, as `storage` for `load`. Other processes are kept out of a model that is in use. */
export function diskStorage(dir: string): DiskStorage {
  const [root, lock] = [nodeFolder(dir), nodeLock(dir)];
  return { root, lock, models: storedModels(() => Promise.resolve(modelStorage(root, lock))) };
}

export interface DiskStorage extends Storage {
  readonly models: StoredModels;
}

export { checkSupport, type ModelSource } from './index.ts';
export type { Model } from './surface/model.ts';
export { openNodeSource } from './cli/node-source.ts';
export { openDawn } from './cli/dawn.ts';
export { pathSource } from './weights/node-source.ts';
