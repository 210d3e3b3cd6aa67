/** webmoe in Node: models from a path, WebGPU from Dawn (the npm package `webgpu`). */
import { openDawn } from './cli/dawn.ts';
import type { LoadOptions } from './engine/load.ts';
import type { Storage } from './engine/keeping.ts';
import { connectHere } from './surface/here.ts';
import { Link } from './surface/link.ts';
import { Model } from './surface/model.ts';
import { split } from './surface/options.ts';
import { toByteSource, type ModelSource } from './surface/sources.ts';
import { nodeFolder } from './weights/records/node-folder.ts';
import { nodeLock } from './weights/records/node-lock.ts';
import { pathSource } from './weights/node-source.ts';
import type { ByteSource } from './weights/source.ts';

/** A string is a URL when it starts with http:// or https://, else a folder. */
export const nodeSource = (source: ModelSource): ByteSource =>
  typeof source === 'string' && !/^https?:\/\//.test(source) ? pathSource(source) : toByteSource(source);

/** As `load` of the main entry, with paths and with Dawn's adapter unless `options.gpu` says otherwise. In this thread. */
export const load = (source: ModelSource, options: LoadOptions = {}): Promise<Model> =>
  Model.open(async () => {
    const connected = connectHere(async (from, given) => {
      const gpu = given.gpu ?? (await openDawn());
      return { bytes: nodeSource(from as ModelSource), options: { ...given, gpu } };
    });
    return Link.load(connected, source, split(options));
  });

/** A folder for what models keep between starts, as `storage` for `load`. Other processes are kept out of a model that is in use. */
export const diskStorage = (dir: string): Storage => ({ root: nodeFolder(dir), lock: nodeLock(dir) });

export { checkSupport, plan, type ModelSource } from './index.ts';
export type { Model } from './surface/model.ts';
export { openDawn } from './cli/dawn.ts';
export { pathSource } from './weights/node-source.ts';
