/** What the sampler may be asked for: names, limits and a few words on each. */
import type { SamplingDefault } from '../../src/index.ts';
import { ReadError, type Reader } from '../conversations/read.ts';
import type { Settings } from '../conversations/types.ts';

export type SettingName = keyof Settings;

export interface Field {
  readonly name: SettingName;
  readonly label: string;
  readonly help: string;
  readonly min: number;
  readonly max: number;
  /** 1 for whole numbers. */
  readonly step: number;
  /** `min` itself is too small. */
  readonly isAboveMin?: boolean;
  readonly isBelowMax?: boolean;
}

/** A model that repeats itself would go on to the end of its context; this is about three pages. */
export const MAX_ANSWER_TOKENS = 1024;

export const FIELDS: readonly Field[] = [
  {
    name: 'temperature',
    label: 'Temperature',
    help: '0 always takes the likeliest word; higher is more varied, above 1 often odd.',
    min: 0,
    max: 5,
    step: 0.05,
  },
  {
    name: 'topP',
    label: 'Top-p',
    help: 'Keeps the likeliest words until their chances add up to this; 1 keeps all.',
    min: 0,
    max: 1,
    step: 0.01,
    isAboveMin: true,
  },
  {
    name: 'topK',
    label: 'Top-k',
    help: 'Keeps this many of the likeliest words; 0 keeps all.',
    min: 0,
    max: 1_000_000,
    step: 1,
  },
  {
    name: 'minP',
    label: 'Min-p',
    help: 'Keeps words at least this share as likely as the likeliest; 0 keeps all.',
    min: 0,
    max: 1,
    step: 0.01,
    isBelowMax: true,
  },
  {
    name: 'repetitionPenalty',
    label: 'Repetition penalty',
    help: 'Above 1, words of the conversation are less likely to come again.',
    min: 0,
    max: 10,
    step: 0.05,
    isAboveMin: true,
  },
  {
    name: 'presencePenalty',
    label: 'Presence penalty',
    help: 'Makes every word that the answer has used less likely, once.',
    min: -10,
    max: 10,
    step: 0.1,
  },
  {
    name: 'frequencyPenalty',
    label: 'Frequency penalty',
    help: 'The same, once for each time that the answer used the word.',
    min: -10,
    max: 10,
    step: 0.1,
  },
  {
    name: 'maxTokens',
    label: 'Longest answer',
    help: 'In tokens; a token is about three quarters of an English word.',
    min: 1,
    max: 1_000_000,
    step: 1,
  },
  {
    name: 'seed',
    label: 'Seed',
    help: 'The same seed, conversation and settings give the same answer.',
    min: 0,
    max: 2 ** 32 - 1,
    step: 1,
  },
];

export function isAllowed(field: Field, value: number): boolean {
  const { min, max, step, isAboveMin, isBelowMax } = field;
  if (!Number.isFinite(value) || value < min || value > max) return false;
  if ((isAboveMin && value === min) || (isBelowMax && value === max)) return false;
  return step !== 1 || Number.isInteger(value);
}

/** `a number above 0, at most 1` */
export const allowedText = ({ min, max, step, isAboveMin, isBelowMax }: Field): string =>
  `${step === 1 ? 'a whole number' : 'a number'} ${isAboveMin ? 'above' : 'of at least'} ${min}, ${isBelowMax ? 'below' : 'at most'} ${max}`;

/** What a field has when nothing is asked for; null: a new one each time. */
export function defaultOf(name: SettingName, defaults: SamplingDefault | null): number | null {
  if (name === 'seed') return null;
  return name === 'maxTokens' ? MAX_ANSWER_TOKENS : (defaults?.[name] ?? null);
}

/** @throws ReadError naming the setting */
export function readSettings(reader: Reader): Settings {
  const at = reader.object(...FIELDS.map((field) => field.name));
  const settings: { -readonly [K in SettingName]?: number } = {};
  for (const field of FIELDS) {
    const setting = at(field.name);
    if (setting.value === undefined) continue;
    const value = setting.number();
    if (!isAllowed(field, value)) throw new ReadError(setting.place, allowedText(field));
    settings[field.name] = value;
  }
  return settings;
}

/** `Temperature 0.7, Seed 5`; empty when nothing is asked for. */
export const settingsText = (settings: Settings): string =>
  FIELDS.flatMap(({ name, label }) => (settings[name] === undefined ? [] : [`${label} ${settings[name]}`])).join(', ');
