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

/** @param most in a row: two, or as many as there is room for */
export const several = (figures: readonly unknown[], most: 2 | null = null): TemplateResult =>
  html`<div class="several ${most === 2 ? 'two' : ''}">${figures.map((figure) => html`<div>${figure}</div>`)}</div>`;
