/** `webmoe trace record`: answers prompts and writes which experts every token took. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { InvalidRequest } from '../errors.ts';
import type { Model } from '../engine/model.ts';
import { moeLayers } from '../engine/activations.ts';
import type { LayerRouting } from '../engine/routing.ts';
import { promptIds } from '../engine/text.ts';
import { writeTrace } from '../trace/npz.ts';
import { ABSENT, joinTraces, type Trace, type TraceModel, type TraceStep } from '../trace/trace.ts';
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

export function traceModel(model: Pick<Model, 'config' | 'plan'>, name: string): TraceModel {
  const layers = moeLayers(model.config);
  if (layers.length === 0) throw new InvalidRequest('the model has no experts: there is nothing to trace', {});
  return {
    name,
    layers: layers.length,
    experts: Math.max(...layers.map((l) => l.experts)),
    topK: Math.max(...layers.map((l) => l.topK)),
    expertBytes: layers.map((_, layer) => model.plan.arenas.find((a) => a.layers.includes(layer))!.slotBytes),
  };
}

/** [T, L, K] from one [T, k] a layer; k may be less than K. */
function append(
  routing: readonly LayerRouting[],
  tokens: number,
  { layers, topK }: TraceModel,
): Pick<Trace, 'ids'> & { weights: Float32Array } {
  const ids = new Uint16Array(tokens * layers * topK).fill(ABSENT);
  const weights = new Float32Array(ids.length);
  routing.forEach((layer, l) => {
    const k = layer.ids.length / tokens;
    for (let t = 0; t < tokens; t++) {
      ids.set(layer.ids.subarray(t * k, (t + 1) * k), (t * layers + l) * topK);
      weights.set(layer.weights.subarray(t * k, (t + 1) * k), (t * layers + l) * topK);
    }
  });
  return { ids, weights };
}

/** One chat: the prompt as one step, then every decoded token but the last, which nothing ran. */
export async function recordChat(
  model: Model,
  facts: TraceModel,
  prompt: string,
  { maxTokens, temperature, seed }: RecordOptions,
): Promise<Trace> {
  const ids = promptIds(model.text?.template ? [{ role: 'user', content: prompt }] : prompt, model.text);
  const steps: TraceStep[] = [{ phase: 'prefill', chat: 0, position: 0, tokens: ids.length }];
  const parts = [append((await model.logits(ids)).routing, ids.length, facts)];
  let drawn = 0;
  for await (const { routing } of model.generate({ ids }, { maxTokens, temperature, seed })) {
    if (drawn++ === 0) continue; // drawn by the prompt's step
    steps.push({ phase: 'decode', chat: 0, position: ids.length + drawn - 2, tokens: 1 });
    parts.push(append(routing, 1, facts));
  }
  const size = parts.reduce((n, p) => n + p.ids.length, 0);
  const trace = { model: facts, steps, ids: new Uint16Array(size), weights: new Float32Array(size), origins: null };
  let at = 0;
  for (const part of parts) {
    trace.ids.set(part.ids, at);
    trace.weights.set(part.weights, at);
    at += part.ids.length;
  }
  return trace;
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
    const facts = traceModel(model, basename(options.text('model')!));
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
