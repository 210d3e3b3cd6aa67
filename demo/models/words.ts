/** A model of the list in words and figures. */
import type { Plan } from '../../src/index.ts';
import { formatBytes, formatRate } from '../format.ts';
import type { CatalogueEntry, CatalogueFigures } from './catalogue.ts';

export const PRECISION: Readonly<Record<Plan['precision'], string>> = {
  'as-is': 'as published',
  q8: '8 bits',
  q4: '4 bits',
};

export const VERDICT: Readonly<Record<Plan['verdict'], string>> = {
  fits: 'fits',
  tight: 'tight fit',
  streams: 'fits in parts',
  'does-not-fit': 'does not fit',
};

/** `6.9 B`, `107 B` */
export const formatParameters = (n: number): string => `${(n / 1e9).toFixed(n < 99.95e9 ? 1 : 0)} B`;

export function shapeText({ activeParameters, totalParameters, shape }: CatalogueFigures): string {
  const { layers, experts, topK } = shape;
  return `${formatParameters(activeParameters)} of ${formatParameters(totalParameters)} parameters a token · ${layers} layers × ${experts} experts, ${topK} chosen`;
}

const planBytes = ({ plan: { weights, experts, kv, rest } }: CatalogueFigures): number => weights + experts + kv + rest;

/** @param withSpeed false on a software adapter: the estimate is for graphics cards */
export function loadText(figures: CatalogueFigures, withSpeed: boolean): string {
  const { precision, tokensPerSecond, verdict } = figures.plan;
  const parts = [`${formatBytes(figures.downloadBytes)} download`, `runs ${asBits(precision)}`];
  if (verdict === 'does-not-fit') return parts[0]!;
  if (withSpeed) parts.push(`estimate: ${formatRate(tokensPerSecond)}`);
  return parts.join(' · ');
}

const asBits = (precision: Plan['precision']): string =>
  precision === 'as-is' ? 'as published' : `in ${PRECISION[precision]}`;

/** What the verdict means. */
export function verdictText(figures: CatalogueFigures): string {
  const { verdict, budgetBytes, slots } = figures.plan;
  const { layers, experts } = figures.shape;
  const [needed, budget] = [formatBytes(planBytes(figures)), formatBytes(budgetBytes)];
  if (verdict === 'does-not-fit') return `The least that it takes is ${needed}, and the budget is ${budget}.`;
  if (verdict !== 'streams') return `All of it takes ${needed} of a budget of ${budget}.`;
  return `${slots} of ${layers * experts} experts are on the card at a time, the others come from the disk when they are needed. More graphics memory makes it faster.`;
}

/** Names and bytes of the sum behind the verdict. */
export function arithmetic(figures: CatalogueFigures): readonly (readonly [string, number])[] {
  const { weights, experts, kv, rest, contextLength, budgetBytes } = figures.plan;
  return [
    ['Weights outside the experts', weights],
    ['Experts on the card', experts],
    [`Conversation of ${contextLength.toLocaleString('en')} tokens (KV)`, kv],
    ['Activations and the rest', rest],
    ['Together', planBytes(figures)],
    ['Budget', budgetBytes],
  ];
}

export type SortKey = 'size' | 'speed' | 'name';

export function sorted(entries: readonly CatalogueEntry[], key: SortKey): CatalogueEntry[] {
  const by: Readonly<Record<SortKey, (a: CatalogueEntry, b: CatalogueEntry) => number>> = {
    size: (a, b) => a.figures.downloadBytes - b.figures.downloadBytes,
    speed: (a, b) => b.figures.plan.tokensPerSecond - a.figures.plan.tokensPerSecond,
    name: (a, b) => a.name.localeCompare(b.name, 'en'),
  };
  return [...entries].sort(by[key]);
}
