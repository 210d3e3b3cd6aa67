/** `webmoe inspect`: what a model is and whether it fits; reads configs and tensor headers only. */
import { parseJson } from '../config/json.ts';
import { inspect, type Inspection } from '../engine/inspect.ts';
import { readText } from '../engine/open.ts';
import { InvalidRequest, UnsupportedModel } from '../errors.ts';
import { draftFamily } from '../families/draft.ts';
import { pathSource } from '../weights/node-source.ts';
import { invariant } from '../util/assert.ts';
import type { ByteSource } from '../weights/source.ts';
import type { Precision } from '../engine/precision.ts';
import { ADAPTERS_OPTION, adaptersOf } from './adapters.ts';
import { openNodeSource } from './node-source.ts';
import { modelSource, SOURCE_OPTIONS } from './model-source.ts';
import type { OptionSpec, Options } from './args.ts';
import { formatBytes, formatCount, MODEL_OPTIONS, type Output } from './common.ts';

const GIB = 2 ** 30;

export const INSPECT_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  ...SOURCE_OPTIONS,
  json: { type: 'flag', help: 'print JSON' },
  'gpu-budget': { type: 'bytes', value: 'BYTES', help: 'GPU memory to plan for (default 6GiB)' },
  'binding-gib': { type: 'number', value: 'X', help: 'largest buffer binding of that GPU (default 2)', min: 0 },
  adapter: MODEL_OPTIONS.adapter!,
  ...ADAPTERS_OPTION,
  'context-length': { type: 'whole', value: 'N', help: 'longest conversation in tokens', min: 1 },
};

function report(i: Inspection): string {
  const lines = [
    `family       ${i.family}`,
    `parameters   ${formatCount(i.parameters.total)}, ${formatCount(i.parameters.active)} used a token`,
    `shape        ${i.layers} layers (${i.moeLayers} with experts), hidden ${i.hidden}, vocabulary ${i.vocab}, context up to ${i.maxContext}`,
  ];
  if (i.experts) {
    const shared = i.experts.shared ? `, a shared expert of width ${i.experts.shared}` : '';
    lines.push(
      `experts      ${i.experts.count} a layer of width ${i.experts.width}, ${i.experts.perToken} a token${shared}`,
    );
  }
  lines.push(`checkpoint   ${formatBytes(i.checkpointBytes)}`);
  for (const [format, { matrices, bytes }] of Object.entries(i.formats))
    lines.push(`             ${String(matrices).padStart(6)} matrices  ${formatBytes(bytes).padEnd(8)} ${format}`);
  lines.push(`budget       ${formatBytes(i.budgetBytes)} of GPU memory, context ${i.contextLength}`);
  if (i.longRope) lines.push(`positions    ${longRopeLine(i.longRope)}`);
  for (const [precision, fit] of Object.entries(i.fit)) {
    lines.push(
      fit.verdict === 'impossible'
        ? `  ${precision.padEnd(11)}impossible: ${fit.why}`
        : `  ${precision.padEnd(11)}${fit.verdict}${slotsOf(fit)}: ${formatBytes(fit.totalBytes)} (weights ${formatBytes(fit.bytes.weights)}, experts ${formatBytes(fit.bytes.experts)}, KV ${formatBytes(fit.bytes.kv)}, activations ${formatBytes(fit.bytes.activations)}${adaptersLine(fit)})`,
    );
  }
  for (const warning of i.warnings) lines.push(`note         ${warning}`);
  return `${lines.join('\n')}\n`;
}

const longRopeLine = ({ factors, shortUpTo }: NonNullable<Inspection['longRope']>): string =>
  `longrope with ${factors} factors: short up to a context of ${shortUpTo}, long for all positions of a longer one`;

const adaptersLine = ({ bytes }: Extract<Inspection['fit'][Precision], { bytes: unknown }>): string =>
  bytes.adapters > 0 ? `, adapters ${formatBytes(bytes.adapters)}` : '';

const slotsOf = ({ verdict, slots }: Extract<Inspection['fit'][Precision], { slots: unknown }>): string =>
  verdict === 'streams' ? `, ${slots.count} of ${slots.experts} experts at a time` : '';

/** Of a config that says what it is; any other JSON is no start for a family. */
const isUnknownFamily = (error: unknown): boolean =>
  error instanceof UnsupportedModel &&
  'nearest' in error.details &&
  (error.details.modelType !== null || (error.details.architectures as readonly string[]).length > 0);

/** A family file to start from, for a model that no family claims. */
async function draftOf(source: ByteSource): Promise<string> {
  const text = await readText(source, 'config.json');
  invariant(text !== null, 'a config.json that was just read');
  return draftFamily(parseJson(text, 'config.json'));
}

export async function inspectCommand(options: Options, out: Output): Promise<void> {
  const target = options.positionals[0];
  if (target === undefined) throw new InvalidRequest('give a folder or URL to inspect', {});
  const binding = (options.number('binding-gib') ?? 2) * GIB;
  const source = await openNodeSource(modelSource(target, options));
  const adapter = options.text('adapter');
  const found = await inspect(
    source,
    { maxBufferSize: binding, maxStorageBufferBindingSize: binding },
    {
      contextLength: options.number('context-length'),
      gpuBytes: options.number('gpu-budget'),
      adapter: adapter === undefined ? null : pathSource(adapter),
      adapters: adaptersOf(options),
    },
  ).catch(async (error: unknown) => {
    if (isUnknownFamily(error) && !options.flag('json')) out.write(await draftOf(source));
    throw error;
  });
  out.write(options.flag('json') ? `${JSON.stringify(found, null, 2)}\n` : report(found));
}
