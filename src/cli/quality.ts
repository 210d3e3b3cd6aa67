/** `webmoe quality`: how two settings of a model predict a text: perplexity of each, and how far the second's distributions are from the first's. */
import { readFile } from 'node:fs/promises';
import { moeLayers } from '../engine/activations.ts';
import { loadOn, type LoadOptions } from '../engine/load.ts';
import type { Model } from '../engine/model.ts';
import type { WeightsOption } from '../engine/precision.ts';
import { InvalidRequest } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { openGpu } from '../gpu/open.ts';
import type { KvFormat } from '../config/kv-format.ts';
import type { OptionSpec, Options } from './args.ts';
import { loadOptions, MODEL_OPTIONS, parseIds, type Output } from './common.ts';
import { openOwnDawn } from './dawn.ts';
import { modelSource } from './model-source.ts';
import { openNodeSource } from './node-source.ts';
import { comparison, type Comparison, type Estimate } from './quality/compare.ts';

const APPROXIMATIONS = ['keep-experts', 'drop-below', 'cache-prior'] as const;

/** The second setting's: whatever is not given is as in the first. */
const AGAINST: Readonly<Record<string, OptionSpec>> = {
  'against-model': {
    ...MODEL_OPTIONS.model!,
    required: false,
    help: 'compared with --model: another checkpoint with the same vocabulary',
  },
  'against-weights': { ...MODEL_OPTIONS.weights!, help: 'its weights: as-is, q8 or q4' },
  'against-kv': { ...MODEL_OPTIONS.kv!, help: 'its keys and values: f32, f16 or int8' },
  'against-top-k': { type: 'whole', value: 'K', help: 'its experts a token, fewer than the model has', min: 1 },
  'against-keep-experts': MODEL_OPTIONS['keep-experts']!,
  'against-drop-below': MODEL_OPTIONS['drop-below']!,
  'against-cache-prior': MODEL_OPTIONS['cache-prior']!,
};

export const QUALITY_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  text: { type: 'text', value: 'FILE', help: 'the text to predict, UTF-8; --ids for one in tokens' },
  ids: { type: 'text', value: 'FILE.json', help: 'a JSON array of token ids' },
  window: {
    type: 'whole',
    value: 'N',
    help: 'tokens that are read at a time, from an empty context (default 256)',
    min: 2,
  },
  tokens: { type: 'whole', value: 'N', help: 'read so many at most', min: 2 },
  ...MODEL_OPTIONS,
  ...AGAINST,
  json: { type: 'flag', help: 'print JSON' },
};

/** One of the two: what to load, and how to ask it. */
interface Side {
  readonly name: string;
  readonly model: string;
  readonly load: LoadOptions;
  readonly topK: number | undefined;
}

function sides(options: Options): readonly [Side, Side] {
  const model = options.text('model')!;
  const base = loadOptions(options);
  // Approximate options act on single tokens: to see them, both sides read token by token.
  const isSingle = APPROXIMATIONS.some(
    (n) => options.number(n) !== undefined || options.number(`against-${n}`) !== undefined,
  );
  const common = { ...base, ...(isSingle ? { prefillChunk: 1 } : {}) };
  const first: Side = { name: nameOf(options, ''), model, load: common, topK: undefined };
  const name = nameOf(options, 'against-');
  if (name === '')
    throw new InvalidRequest(`nothing to compare: give one of --${Object.keys(AGAINST).join(', --')}`, {});
  const approximate = {
    ...base.approximate,
    ...numberOf(options, 'against-keep-experts', 'keepExperts'),
    ...numberOf(options, 'against-drop-below', 'dropBelow'),
    ...numberOf(options, 'against-cache-prior', 'cachePrior'),
  };
  const weights = (options.text('against-weights') as WeightsOption | undefined) ?? base.weights;
  const kv = (options.text('against-kv') as KvFormat | undefined) ?? base.kv;
  const second: Side = {
    name,
    model: options.text('against-model') ?? model,
    load: { ...common, weights, kv, approximate },
    topK: options.number('against-top-k'),
  };
  return [first, second];
}

const numberOf = (options: Options, option: string, key: string): Record<string, number> => {
  const value = options.number(option);
  return value === undefined ? {} : { [key]: value };
};

/** What was said of one side: `weights q4, top-k 2`. */
function nameOf(options: Options, prefix: '' | 'against-'): string {
  const names = ['model', 'weights', 'kv', 'top-k', ...APPROXIMATIONS];
  return names
    .flatMap((name) => {
      const value = options.text(prefix + name) ?? options.number(prefix + name);
      return value === undefined ? [] : [`${name} ${value}`];
    })
    .join(', ');
}

async function read(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: unknown) => {
    throw new InvalidRequest(`cannot read ${file}`, { file }, { cause });
  });
}

async function idsOf(options: Options, model: Model): Promise<number[]> {
  const [text, ids] = [options.text('text'), options.text('ids')];
  const all = ids === undefined ? encode(model, await read(text!), text!) : parseIds(await read(ids), ids);
  const most = options.number('tokens') ?? all.length;
  if (Math.min(most, all.length) < 2) throw new InvalidRequest('a text of one token has nothing to predict', {});
  return all.slice(0, most);
}

function encode(model: Model, text: string, file: string): number[] {
  if (!model.text) throw new InvalidRequest('the model has no tokenizer: give --ids in place of --text', { file });
  return [...model.text.tokenizer.encode(text, { special: false, affixes: true })];
}

/** Windows that follow one another; a last one of a single token would predict nothing. */
function windowsOf(ids: readonly number[], size: number): number[][] {
  const windows: number[][] = [];
  for (let at = 0; at < ids.length - 1; at += size) windows.push(ids.slice(at, at + size));
  return windows.filter((w) => w.length > 1);
}

async function loadSide(gpu: Gpu, side: Side, options: Options): Promise<Model> {
  const model = await loadOn(gpu.share(), await openNodeSource(modelSource(side.model, options)), side.load);
  const most = Math.max(0, ...moeLayers(model.config).map((l) => l.topK));
  if (side.topK === undefined || side.topK <= most) return model;
  await model.dispose();
  throw new InvalidRequest(`--against-top-k ${side.topK}: a token of this model takes ${most} experts at most`, {});
}

const logitsOf = async (model: Model, { topK }: Side, ids: readonly number[]): Promise<Float32Array> =>
  (await model.logits(ids, topK === undefined ? {} : { interventions: { topK } })).logits;

/** Both models at once, window by window: logits of a long text are too many to keep. */
export async function quality(options: Options, out: Output): Promise<Comparison> {
  const both = sides(options);
  if ((options.text('text') === undefined) === (options.text('ids') === undefined))
    throw new InvalidRequest('give a --text or --ids to predict', {});
  const gpu = await openGpu({ gpu: await openOwnDawn() });
  const models: Model[] = [];
  try {
    for (const side of both) models.push(await loadSide(gpu, side, options));
    return await compare(both, [models[0]!, models[1]!], options, out);
  } finally {
    for (const model of models) await model.dispose();
    gpu.dispose();
  }
}

async function compare(
  [first, second]: readonly [Side, Side],
  [a, b]: readonly [Model, Model],
  options: Options,
  out: Output,
): Promise<Comparison> {
  const { vocab } = a.config;
  if (b.config.vocab !== vocab)
    throw new InvalidRequest(`the two models have ${vocab} and ${b.config.vocab} tokens: nothing to compare`, {});
  const windows = windowsOf(await idsOf(options, a), options.number('window') ?? 256);
  const compared = comparison({ first: first.name || 'as given', second: second.name, vocab });
  for (const [i, ids] of windows.entries()) {
    if (out.isTerminal) out.note(`\r\x1b[Kwindow ${i + 1} of ${windows.length}`);
    compared.add(ids, await logitsOf(a, first, ids), await logitsOf(b, second, ids));
  }
  if (out.isTerminal) out.note('\r\x1b[K');
  return compared.result();
}

const shown = ({ value, standardError }: Estimate, digits = 4): string =>
  `${value.toFixed(digits)} ± ${standardError.toFixed(digits)}`;

function text(c: Comparison): string {
  return [
    `first          ${c.first.name}: perplexity ${shown(c.first.perplexity, 3)}`,
    `second         ${c.second.name}: perplexity ${shown(c.second.perplexity, 3)}`,
    `loss           ${shown(c.lossDifference)} nats a token more in the second`,
    `KL             ${shown(c.kl.mean)} nats on average; median ${c.kl.median.toFixed(4)}, 99 % below ${c.kl.p99.toFixed(4)}, most ${c.kl.most.toFixed(4)}`,
    `best token     the same for ${(100 * c.sameBest.value).toFixed(1)} ± ${(100 * c.sameBest.standardError).toFixed(1)} %`,
    `sample         ${c.tokens} predicted tokens in ${c.windows} windows; ± is one standard error, of tokens taken as independent`,
    '',
  ].join('\n');
}

export async function qualityCommand(options: Options, out: Output): Promise<void> {
  const found = await quality(options, out);
  out.write(options.flag('json') ? `${JSON.stringify(found, null, 2)}\n` : text(found));
}
