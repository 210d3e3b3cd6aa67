/** The engine itself, without the surface that pages get: the command line reads more of a model than apps do. */
import { load as loadSource, type LoadOptions } from '../engine/load.ts';
import type { Model } from '../engine/model.ts';
import type { ModelSource } from '../engine/model-source.ts';
import { openOwnDawn } from './dawn.ts';
import { openNodeSource } from './node-source.ts';

/** As `load` of `webmoe/node`. */
export const load = async (source: ModelSource, options: LoadOptions = {}): Promise<Model> =>
  loadSource(await openNodeSource(source, options), { ...options, gpu: options.gpu ?? (await openOwnDawn()) });
