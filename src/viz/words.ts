/** Numbers as people read them. */
import type { Band } from '../trace/stats/distributions.ts';

export const percent = (share: number, digits = 1): string => `${(100 * share).toFixed(digits)} %`;

/** With as many digits as the share has, at most three: ticks of an axis that ends at 1 % stay apart. */
export function percentTick(share: number): string {
  const digits = [0, 1, 2].find((d) => Math.abs(100 * share - Number((100 * share).toFixed(d))) < 1e-6);
  return percent(share, digits ?? 3);
}

export const count = (n: number, one: string, many = `${one}s`): string =>
  `${n.toLocaleString('en')} ${n === 1 ? one : many}`;

/** Three significant digits, no exponent. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size >= 100 || value === 0) return String(Math.round(value));
  if (size < 0.0005) return value < 0 ? '>-0.001' : '<0.001';
  return value.toFixed(size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

/** How many times as much, from its log2: `×2` or, for less, `÷2`. */
export const timesWords = (log2: number): string => `${log2 < 0 ? '÷' : '×'}${short(2 ** Math.abs(log2))}`;

export const bytesWords = (bytes: number): string =>
  bytes >= 1e9 ? `${short(bytes / 1e9)} GB` : `${short(bytes / 1e6)} MB`;

/** Of anything that can be thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Layers and experts are counted from 0, as in checkpoints. */
export const expertName = (layer: number, expert: number): string => `L${layer}·E${expert}`;

/** White space made visible. */
export const tokenName = (text: string): string =>
  text === '' ? '∅' : text.replaceAll('\n', '↵').replaceAll('\t', '⇥').replaceAll(' ', '·');

/** `12.5 %, 3.1 % to 21.9 % in 95 of 100`: where chance alone puts a share in 95 of 100. */
export const bandWords = (chance: Band | null): string =>
  chance ? `${percent(chance.mean)}, ${percent(chance.low)} to ${percent(chance.high)} in 95 of 100` : 'none';
