/** Small figures beside each other, as many in a row as there is room for. */
import { html, type TemplateResult } from 'lit';

/** As in the style sheet's .several. */
const LEAST = 270;
const GAP = 16;

/** Width of each in a room of `width` pixels. */
export function widthOfEach(width: number, most = Infinity): number {
  const columns = Math.max(1, Math.min(most, Math.floor((width + GAP) / (LEAST + GAP))));
  return Math.floor((width - GAP * (columns - 1)) / columns);
}

export const several = (figures: readonly unknown[]): TemplateResult =>
  html`<div class="several">${figures.map((figure) => html`<div>${figure}</div>`)}</div>`;
