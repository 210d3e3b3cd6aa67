/** Stored models in words. */
import type { StoredModel, VerifyResult } from '../../src/index.ts';
import { formatBytes, formatDay, plural } from '../format.ts';
import { nameOfUrl } from '../options.ts';

/** The last part of a URL; a folder has its own name. */
export const nameOf = ({ source }: StoredModel): string =>
  /^https?:/.test(source) && URL.canParse(source) ? nameOfUrl(source) : source;

/** Where it came from, when its name does not say so. */
export const originOf = (model: StoredModel): string =>
  nameOf(model) === model.source ? 'a folder on this computer' : model.source;

const PRECISION: Readonly<Record<string, string>> = { 'as-is': 'as published', q8: '8 bits', q4: '4 bits' };

export const isComplete = ({ bytes, totalBytes }: StoredModel): boolean => bytes >= totalBytes;

/** `4.20 GB · 4 bits · used yesterday` */
export const factsOf = (model: StoredModel, now = new Date()): string =>
  [
    isComplete(model) ? formatBytes(model.bytes) : `${formatBytes(model.bytes)} of ${formatBytes(model.totalBytes)}`,
    PRECISION[model.precision] ?? model.precision,
    `used ${formatDay(model.lastUsed, now)}`,
  ].join(' · ');

export function totalText(models: readonly StoredModel[]): string {
  const bytes = models.reduce((sum, model) => sum + model.bytes, 0);
  return `${plural(models.length, 'model')}, ${formatBytes(bytes)} in all.`;
}

export function verifiedText({ records, damaged }: VerifyResult): string {
  const checked = plural(records, 'record');
  if (damaged === 0) return `${checked}, all sound.`;
  return `${checked}, ${damaged} damaged and dropped: ${damaged === 1 ? 'it is' : 'they are'} fetched again when needed.`;
}

export const tidiedText = (bytes: number): string =>
  bytes > 0 ? `Freed ${formatBytes(bytes)} of leftovers.` : 'There were no leftovers.';
