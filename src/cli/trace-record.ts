/** `webmoe trace record`: answers prompts and writes which experts every token took. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { InvalidRequest } from '../errors.ts';
import type { Model } from '../engine/model.ts';
import { moeLayers } from '../engine/activations.ts';
import { promptIds } from '../engine/text.ts';
import { writeTrace } from '../trace/npz.ts';
import { expertBytesOf, traceOf, type TracedModel } from '../trace/of-run.ts';
import { joinTraces, type Trace } from '../trace/trace.ts';
import type { OptionSpec, Options } from './args.ts';
import { loadModel, MODEL_OPTIONS, type Output } from './common.ts';

export const TRACE_RECORD_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  ...MODEL_OPTIONS,
  prompts: { type: 'text', value: 'FILE.json', help: 'a JSON array of prompts, one chat each', required: true },
  out: { type: 'text', value: 'FILE.npz', help: 'where the trace goes; written after each chat', required: true },
  'max-tokens': { type: 'whole', value: 'N', help: 'longest answer (default 64)', min: 2 },
  temperature: { type: 'number', value: 'X', help: 'default 0.7; 0 is greedy', min: 0 },
  seed: { type: 'whole', value: 'N', help: 'of the first chat, then one more for each (default 1)', min: 0 },
  keep: { type: 'choice', value: 'W', help: 'weights as f16 (default), f32 or none', choices: ['f16', 'f32', 'none'] },
};

export interface RecordOptions {
  readonly maxTokens: number;
  readonly temperature: number;
  readonly seed: number;
}

/** A file with `["...", ...]` or `[{"prompt": "...", ...}, ...]`. */
export function parsePrompts(text: string, file: string): string[] {
  const refuse = (cause?: unknown): never => {
    throw new InvalidRequest(
      `${file} must hold a JSON array of prompts, as in ["Hello", {"prompt": "Hi"}]`,
      { file },
      { cause },
    );
  };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    return refuse(cause);
  }
  if (!Array.isArray(json) || json.length === 0) return refuse();
  return json.map((entry: unknown) => {
    const prompt = typeof entry === 'object' && entry !== null && 'prompt' in entry ? entry.prompt : entry;
    return typeof prompt === 'string' && prompt !== '' ? prompt : refuse();
  });
}

/** One chat: the prompt as one step, then every decoded token but the last, which nothing ran. */
export async function recordChat(
  model: Model,
  facts: TracedModel,
  prompt: string,
  options: RecordOptions,
): Promise<Trace> {
  const ids = promptIds(model.text?.template ? [{ role: 'user', content: prompt }] : prompt, model.text);
  const running = model.generate({ ids }, { ...options, routing: 'ids', promptRouting: true, skipCache: true });
  for (;;) {
    const { value, done } = await running.next();
    if (done) return traceOf(value, facts);
  }
}

export async function traceRecordCommand(options: Options, out: Output): Promise<void> {
  const file = options.text('prompts')!;
  const prompts = parsePrompts(
    await readFile(file, 'utf8').catch((cause: unknown) => {
      throw new InvalidRequest(`cannot read ${file}`, { file }, { cause });
    }),
    file,
  );
  const target = options.text('out')!;
  const weights = options.text('keep') as 'f16' | 'f32' | 'none' | undefined;
  const seed = options.number('seed') ?? 1;
  const model = await loadModel(options, out);
  try {
    if (moeLayers(model.config).length === 0)
      throw new InvalidRequest('the model has no experts: there is nothing to trace', {});
    const facts = { name: basename(options.text('model')!), expertBytes: expertBytesOf(model.plan) };
    const chats: Trace[] = [];
    for (const prompt of prompts) {
      chats.push(
        await recordChat(model, facts, prompt, {
          maxTokens: options.number('max-tokens') ?? 64,
          temperature: options.number('temperature') ?? 0.7,
          seed: seed + chats.length,
        }),
      );
      await replaceFile(target, writeTrace(joinTraces(chats), weights ? { weights } : {}));
      out.note(`chat ${chats.length} of ${prompts.length}: ${chats.at(-1)!.steps.length} steps\n`);
    }
  } finally {
    await model.dispose();
  }
}

/** A file that is always whole. */
async function replaceFile(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await writeFile(`${path}.part`, bytes);
    await rename(`${path}.part`, path);
  } catch (cause) {
    throw new InvalidRequest(`cannot write ${path}`, { file: path }, { cause });
  }
}
