/** The engine itself, without the surface that pages get: the command line reads more of a model than apps do. */
import { load as loadSource, type LoadOptions } from '../engine/load.ts';
import type { Model } from '../engine/model.ts';
import { nodeSource, openDawn, type ModelSource } from '../node.ts';

/** As `load` of `webmoe/node`. */
export const load = async (source: ModelSource, options: LoadOptions = {}): Promise<Model> =>
  loadSource(nodeSource(source), { ...options, gpu: options.gpu ?? (await openDawn()) });
