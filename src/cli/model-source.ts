/** Which model a command line names. */
import { InvalidRequest } from '../errors.ts';
import type { ModelSource } from '../engine/model-source.ts';
import { parseHubId } from '../weights/hub/hub-model.ts';
import type { OptionSpec, Options } from './args.ts';

export const SOURCE_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  revision: { type: 'text', value: 'R', help: 'branch, tag or commit of a model on a Hub (default main)' },
  file: { type: 'text', value: 'F', help: 'the .gguf file of a model on a Hub' },
  endpoint: { type: 'text', value: 'URL', help: 'another Hub than huggingface.co; HF_TOKEN, if set, is sent to it' },
};

/** @throws InvalidRequest when Hub options come with something else than a Hub id */
export function modelSource(text: string, options: Options): ModelSource {
  const [revision, endpoint, file] = ['revision', 'endpoint', 'file'].map((name) => options.text(name));
  if (revision === undefined && endpoint === undefined && file === undefined) return text;
  const model = parseHubId(text);
  if (!model)
    throw new InvalidRequest(
      `--revision, --file and --endpoint are for models on a Hub, and ${text} is no id of one`,
      {},
    );
  if (revision !== undefined && model.revision !== undefined)
    throw new InvalidRequest(`${text} has a revision already: leave out --revision`, {});
  return { ...model, ...(revision === undefined ? {} : { revision }), file, endpoint, token: process.env.HF_TOKEN };
}
