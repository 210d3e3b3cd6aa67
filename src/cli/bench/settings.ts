/** What a sweep runs: every combination of the values given, models outside, requests inside. */
import { InvalidRequest } from '../../errors.ts';
import type { WeightsOption } from '../../engine/precision.ts';
import { MOST_IN_FLIGHT } from '../../engine/serving/sizes.ts';
import type { Options } from '../args.ts';
import type { MadeShape } from './made-source.ts';

/** One model to load. */
export interface LoadSetting {
  /** null: a checkpoint that exists. */
  readonly made: MadeShape | null;
  readonly weights: WeightsOption | undefined;
  /** Share of the experts that have a slot; absent: as the budget has it. */
  readonly expertsResident: number | undefined;
  /** Requests that run together. */
  readonly batch: number;
}

/** One request. */
export interface RunSetting {
  readonly promptTokens: number;
  readonly decodeTokens: number;
}

const WEIGHTS_OF_BITS: Readonly<Record<number, WeightsOption>> = { 16: 'as-is', 8: 'q8', 4: 'q4' };

/** Every choice of one value from each list, the last list turning fastest. */
function combinations<T extends Record<string, unknown>>(lists: { readonly [K in keyof T]: readonly T[K][] }): T[] {
  return Object.entries<readonly unknown[]>(lists).reduce<Record<string, unknown>[]>(
    (rows, [name, values]) => rows.flatMap((row) => values.map((value) => ({ ...row, [name]: value }))),
    [{}],
  ) as T[];
}

function weightsOf(options: Options): readonly (WeightsOption | undefined)[] {
  const bits = options.numbers('bits');
  const named = options.text('weights') as WeightsOption | undefined;
  if (!bits) return [named];
  if (named) throw new InvalidRequest('--bits and --weights say the same thing: leave one out', {});
  return bits.map((b) => {
    const weights = WEIGHTS_OF_BITS[b];
    if (!weights) throw new InvalidRequest(`--bits must be 4, 8 or 16 (as published), got ${b}`, { bits: b });
    return weights;
  });
}

function shapesOf(options: Options): readonly (MadeShape | null)[] {
  const asked = (['experts', 'top-k', 'width', 'layers', 'hidden', 'vocab'] as const).filter(
    (name) => (options.numbers(name) ?? options.number(name)) !== undefined,
  );
  if (!options.flag('synthetic')) {
    if (asked.length)
      throw new InvalidRequest(`--${asked[0]} is for --synthetic: a checkpoint that exists has its own`, {});
    return [null];
  }
  return combinations<{ experts: number; topK: number; width: number }>({
    experts: options.numbers('experts') ?? [8],
    topK: options.numbers('top-k') ?? [2],
    width: options.numbers('width') ?? [64],
  }).map((shape) => ({
    ...shape,
    layers: options.number('layers') ?? 2,
    hidden: options.number('hidden') ?? 128,
    vocab: options.number('vocab') ?? 512,
  }));
}

/** @throws InvalidRequest for a combination that makes no sense */
export function loadSettings(options: Options): LoadSetting[] {
  if ((options.text('model') === undefined) === !options.flag('synthetic'))
    throw new InvalidRequest('name a --model, or make one up with --synthetic', {});
  return combinations<{
    made: MadeShape | null;
    weights: WeightsOption | undefined;
    expertsResident: number | undefined;
    batch: number;
  }>({
    made: shapesOf(options),
    weights: weightsOf(options),
    expertsResident: options.numbers('experts-resident') ?? [undefined],
    batch: batchesOf(options),
  });
}

function batchesOf(options: Options): readonly number[] {
  const batches = options.numbers('batch') ?? [1];
  const wrong = batches.find((n) => n < 1 || n > MOST_IN_FLIGHT);
  if (wrong !== undefined)
    throw new InvalidRequest(`--batch must be 1 to ${MOST_IN_FLIGHT}, got ${wrong}`, { batch: wrong });
  if (options.flag('timestamps') && batches.some((n) => n > 1))
    throw new InvalidRequest('--timestamps is for --batch 1: the kernels of one sequence are timed', {});
  return batches;
}

export function runSettings(options: Options): RunSetting[] {
  return combinations<{ promptTokens: number; decodeTokens: number }>({
    promptTokens: options.numbers('prompt-tokens') ?? [64],
    decodeTokens: options.numbers('decode-tokens') ?? [16],
  });
}
