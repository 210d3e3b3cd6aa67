/** `webmoe trace record`: answers prompts and writes which experts every token took. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { InvalidRequest } from '../errors.ts';
import type { Model } from '../engine/model.ts';
import { moeLayers } from '../engine/activations.ts';
import type { StepEvent } from '../engine/expert-stats.ts';
import { piecesOf, promptIds } from '../engine/text.ts';
import { writeTrace } from '../trace/npz.ts';
import { expertBytesOf, traceOf, type TracedModel } from '../trace/of-run.ts';
import { joinTraces } from '../trace/join-traces.ts';
import type { Provenance, Trace } from '../trace/trace.ts';
import type { OptionSpec, Options } from './args.ts';
import { loadModel, MODEL_OPTIONS, type Output } from './common.ts';

export const TRACE_RECORD_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  ...MODEL_OPTIONS,
  prompts: {
    type: 'text',
    value: 'FILE.json',
    help: 'a JSON array of prompts, one chat each: "Hi", or {"prompt": "Hi", "domain": "general"}',
    required: true,
  },
  out: { type: 'text', value: 'FILE.npz', help: 'where the trace goes; written after each chat', required: true },
  'max-tokens': { type: 'whole', value: 'N', help: 'longest answer (default 64)', min: 2 },
  temperature: { type: 'number', value: 'X', help: 'default 0.7; 0 is greedy', min: 0 },
  seed: { type: 'whole', value: 'N', help: 'of the first chat, then one more for each (default 1)', min: 0 },
  logits: { type: 'flag', help: "also the routers' logits of all chats, not only where a prompt says so" },
  note: { type: 'text', value: 'TEXT', help: 'what the trace says of its origin' },
  keep: {
    type: 'choice',
    value: 'W',
    help: 'weights as f16 (default), f32 or none; logits as f16, or with f32 as that',
    choices: ['f16', 'f32', 'none'],
  },
};

export interface RecordOptions {
  readonly maxTokens: number;
  readonly temperature: number;
  readonly seed: number;
}

export interface ChatPrompt {
  readonly prompt: string;
  readonly domain: string | null;
  /** Whether the routers' logits are recorded, too. */
  readonly logits: boolean;
}

/** A file with `["...", ...]` or `[{"prompt": "...", "domain": "...", "logits": true}, ...]`. */
export function parsePrompts(text: string, file: string): ChatPrompt[] {
  const refuse = (cause?: unknown): never => {
    throw new InvalidRequest(
      `${file} must hold a JSON array of prompts, as in ["Hello", {"prompt": "Hi", "domain": "general"}]`,
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
    const given = typeof entry === 'object' && entry !== null ? entry : { prompt: entry };
    const { prompt, domain = null, logits = false } = given as Readonly<Record<string, unknown>>;
    const isPrompt = typeof prompt === 'string' && prompt !== '' && typeof logits === 'boolean';
    return isPrompt && (domain === null || typeof domain === 'string') ? { prompt, domain, logits } : refuse();
  });
}

/** What a trace says of the model that made it. */
function factsOf(model: Model, name: string): TracedModel {
  const layers = moeLayers(model.config);
  const { score } = layers[0]!.router;
  const shared = layers.map((l) => Math.round((l.shared?.width ?? 0) / l.width));
  return {
    name,
    expertBytes: expertBytesOf(model.plan),
    ...(score !== 'sqrt-softplus' && { scoring: score === 'sigmoid' ? 'sigmoid' : 'softmax' }),
    sharedExperts: Math.max(...shared),
  };
}

/** One chat: the prompt as one step, then every decoded token but the last, which nothing ran. */
export async function recordChat(
  model: Model,
  facts: TracedModel,
  { prompt, domain, logits }: ChatPrompt,
  options: RecordOptions,
): Promise<Trace> {
  const { text } = model;
  const ids = promptIds(text?.template ? [{ role: 'user', content: prompt }] : prompt, text);
  const routing = logits ? 'logits' : 'ids';
  const events: StepEvent[] = [];
  const stop = model.onStep((event) => events.push(event));
  const logprobs: number[] = [];
  try {
    const running = model.generate({ ids }, { ...options, routing, promptRouting: true, skipCache: true });
    for (;;) {
      const { value, done } = await running.next();
      if (done)
        return traceOf(value, facts, {
          chat: { name: prompt.slice(0, LONGEST_TITLE), domain },
          ...(text && { textsOf: (tokens) => piecesOf(tokens, text) }),
          logprobs,
          events,
        });
      logprobs.push(value.logprob);
    }
  } finally {
    stop();
  }
}

/** Of a prompt, as the name of its chat. */
const LONGEST_TITLE = 200;

function provenanceOf(options: Options, { maxTokens, temperature, seed }: RecordOptions): Provenance {
  const how = `webmoe trace record, at most ${maxTokens} tokens an answer, temperature ${temperature}, seeds from ${seed}`;
  return { kind: 'recorded', note: options.text('note') ?? how, date: new Date().toISOString() };
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
  const keep = options.text('keep') as 'f16' | 'f32' | 'none' | undefined;
  const common = {
    maxTokens: options.number('max-tokens') ?? 64,
    temperature: options.number('temperature') ?? 0.7,
    seed: options.number('seed') ?? 1,
  };
  const provenance = provenanceOf(options, common);
  const model = await loadModel(options, out);
  try {
    if (moeLayers(model.config).length === 0)
      throw new InvalidRequest('the model has no experts: there is nothing to trace', {});
    const facts = factsOf(model, basename(options.text('model')!));
    const chats: Trace[] = [];
    for (const prompt of prompts) {
      const asked = { ...prompt, logits: prompt.logits || options.flag('logits') };
      chats.push(await recordChat(model, facts, asked, { ...common, seed: common.seed + chats.length }));
      const trace = { ...joinTraces(chats), provenance };
      await replaceFile(target, writeTrace(trace, keep && { weights: keep, logits: keep === 'f32' ? 'f32' : 'f16' }));
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
