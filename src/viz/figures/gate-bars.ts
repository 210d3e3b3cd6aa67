/** Gate weights of one token in one layer as bars, at the foot of a figure. */
import { svg } from 'lit';
import type { Trace } from '../../trace/trace.ts';
import { chosenAt, tokenLabel } from '../route.ts';
import { short } from '../words.ts';

const CELL = 118;
const ROW = 17;
const BAR = 46;

const columnsIn = (width: number): number => Math.max(1, Math.floor(width / CELL));

export const gateHeight = (topK: number, width: number): number => 24 + ROW * Math.ceil(topK / columnsIn(width));

/** @param colour of an expert */
export function gateBars(
  trace: Trace,
  token: number,
  layer: number,
  top: number,
  width: number,
  colour: (expert: number) => string,
): unknown {
  const columns = columnsIn(width);
  const chosen = chosenAt(trace, token, layer);
  const clipped = tokenLabel(trace, token).slice(0, 40);
  return svg`<g>
    <line class="grid" x1="0" x2=${width} y1=${top} y2=${top}></line>
    <text class="axis" x="2" y=${top + 14}>${clipped} in layer ${layer}${chosen.length ? '' : ': the layer did not run for it'}</text>
    ${chosen.map(({ expert, weight }, k) => {
      const [x, y] = [2 + (k % columns) * CELL, top + 20 + Math.floor(k / columns) * ROW];
      return svg`<text class="tick" x=${x} y=${y + 10}>E${expert}</text>
        <rect x=${x + 30} y=${y + 1} width=${Math.max(1, BAR * (weight ?? 1))} height="10" rx="2" fill=${colour(expert)}></rect>
        <text class="tick" x=${x + 33 + BAR * (weight ?? 1)} y=${y + 10}>${weight === null ? '' : short(weight)}</text>`;
    })}
  </g>`;
}
