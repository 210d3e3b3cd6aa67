/** The colours of a ramp from its low end to its high end, for a legend. */
import { svg } from 'lit';
import { css, type Ramp } from '../ramps.ts';

const STEPS = 24;

/** 8 pixels high. */
export const rampBar = (ramp: Ramp, x: number, y: number, width: number): unknown =>
  Array.from(
    { length: STEPS },
    (_, i) =>
      svg`<rect x=${x + (i * width) / STEPS} y=${y} width=${width / STEPS + 0.5} height="8" fill=${css(ramp(i / (STEPS - 1)))}></rect>`,
  );
