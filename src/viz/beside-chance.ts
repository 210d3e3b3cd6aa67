/** Measured values beside what chance alone would give. */
import type { Measured } from '../trace/stats/chance.ts';
import type { PlotBand } from './figures/plot.ts';
import type { Cell } from './table.ts';
import { short } from './words.ts';

/** `0.42 (by chance 0.11 to 0.15)` */
export const besideChance = ({ value, chance, n }: Measured, words: (value: number) => string = short): string =>
  n === 0
    ? 'nothing measured'
    : words(value) + (chance ? ` (by chance ${words(chance.low)} to ${words(chance.high)})` : '');

/** Value, and the band's mean and ends, for a table. */
export const chanceCells = ({ value, chance, n }: Measured): readonly Cell[] => [
  n > 0 ? value : null,
  chance?.mean ?? null,
  chance?.low ?? null,
  chance?.high ?? null,
];

export const chanceColumns = (name: string): readonly string[] => [name, 'by chance', 'chance from', 'chance to'];

export const valuesOf = (measured: readonly Measured[]): number[] =>
  measured.map(({ value, n }) => (n > 0 ? value : NaN));

/** None where chance says nothing. */
export function chanceBands(measured: readonly Measured[]): readonly PlotBand[] {
  if (!measured.some(({ chance }) => chance)) return [];
  const ends = (end: 'low' | 'high'): number[] => measured.map(({ chance, value }) => chance?.[end] ?? value);
  return [{ label: 'by chance', low: ends('low'), high: ends('high') }];
}
