/** A line of hit rates, a token a step, from none at the bottom to all at the top. */
import { formatPercent } from '../format.ts';
import { WINDOW } from './history.ts';

const HEIGHT = 20;
/** Half a stroke, so that a line along the edge is not cut. */
const EDGE = 1;

const svg = (tag: string): SVGElement => document.createElementNS('http://www.w3.org/2000/svg', tag);

/** The newest value stands at the right end; `M` and `L` with one decimal. */
export function linePath(values: readonly number[]): string {
  const shown = values.slice(-WINDOW);
  const left = WINDOW - shown.length;
  return shown
    .map((value, i) => `${i ? 'L' : 'M'}${left + i} ${(HEIGHT - EDGE - value * (HEIGHT - 2 * EDGE)).toFixed(1)}`)
    .join('');
}

export function describeRates(values: readonly number[]): string {
  if (values.length === 0) return 'Hit rate by token: no token yet';
  const [low, last] = [Math.min(...values), values.at(-1)!];
  return `Hit rate by token, of the last ${values.length}: lowest ${formatPercent(low)}, now ${formatPercent(last)}`;
}

export class Sparkline {
  readonly element = svg('svg');
  readonly #line = svg('path');
  readonly #area = svg('path');

  constructor() {
    this.element.setAttribute('class', 'sparkline');
    this.element.setAttribute('viewBox', `0 0 ${WINDOW - 1} ${HEIGHT}`);
    this.element.setAttribute('preserveAspectRatio', 'none');
    this.element.setAttribute('role', 'img');
    this.#line.setAttribute('class', 'line');
    this.#area.setAttribute('class', 'area');
    this.element.append(this.#area, this.#line);
    this.show([]);
  }

  show(values: readonly number[]): void {
    const path = linePath(values);
    this.#line.setAttribute('d', path);
    this.#area.setAttribute('d', path && `${path}V${HEIGHT}H${WINDOW - Math.min(WINDOW, values.length)}Z`);
    this.element.setAttribute('aria-label', describeRates(values));
  }
}
