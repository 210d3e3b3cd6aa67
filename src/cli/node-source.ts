/** As `openSource`, where there are also paths, and the environment may hold a token. */
import { existsSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { SourceError } from '../errors.ts';
import { hubModelOf, type ModelSource } from '../engine/model-source.ts';
import { openSource, type OpenSourceOptions } from '../engine/open-source.ts';
import type { HubModel } from '../weights/hub/hub-model.ts';
import { ggufSource } from '../weights/gguf/gguf-source.ts';
import { pathSource } from '../weights/node-source.ts';
import type { ByteSource } from '../weights/source.ts';

/**
 * A string is a URL when it starts with http:// or https://, else a path when that exists, else a Hub id when it looks like one, else a path.
 * @throws as `openSource`
 */
export async function openNodeSource(source: ModelSource, options: OpenSourceOptions = {}): Promise<ByteSource> {
  const isText = typeof source === 'string' && !/^https?:\/\//.test(source);
  const model = isText && existsSync(source) ? null : hubModelOf(source);
  if (!model) return isText ? openPath(source) : openSource(source, options);
  try {
    return await openSource(withToken(model), options);
  } catch (error) {
    if (!isText || !(error instanceof SourceError)) throw error;
    throw new SourceError(`${error.message}. There is no folder ${source} here either`, error.details, {
      cause: error,
    });
  }
}

/** A folder, or a .gguf file, which is a model by itself. */
const openPath = (path: string): ByteSource =>
  /\.gguf$/i.test(path) ? ggufSource(pathSource(dirname(path)), basename(path)) : pathSource(path);

/** Whoever names another endpoint says there which token it may see. */
const withToken = (model: HubModel): HubModel =>
  model.token === undefined && model.endpoint === undefined ? { ...model, token: process.env.HF_TOKEN } : model;
