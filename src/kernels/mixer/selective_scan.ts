import type { BufferView } from '../../gpu/buffer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';
import { invariant } from '../../util/assert.ts';
import { ceilDiv } from '../../util/math.ts';

/** Values that start at `at` of a row. */
export interface Stretch {
  readonly view: BufferView; // [T, row]
  readonly row: number;
  readonly at: number;
}

export interface SelectiveScan {
  readonly x: Stretch; // [T, channels]
  /** Gates what comes out. */
  readonly z: Stretch; // [T, channels]
  /** Before bias and softplus. */
  readonly steps: Stretch; // [T, heads]
  readonly b: Stretch; // [T, groups, states]
  readonly c: Stretch; // [T, groups, states]
  /** Bias of the steps [heads], what of x passes by [heads], then log(-a): [heads], or [channels, states] with `aByState`. */
  readonly weights: BufferView;
  /** Twice: a step reads the side that `u_step` names and writes the other. */
  readonly state: BufferView; // [2, channels, states]
  readonly out: BufferView; // [T, channels]
}

export interface SelectiveScanShape {
  readonly channels: number;
  /** Neighbouring channels with one step between them. */
  readonly headSize: number;
  /** Heads that share B and C. */
  readonly groups: number;
  readonly states: number;
  readonly aByState: boolean;
  /** What steps are clamped to. */
  readonly stepLimits: readonly [least: number, most: number];
}

/** The largest finite f32: WGSL has no infinite constants. */
const MOST = 3.4028234663852886e38;

/** Values of the state: what the tokens before a step leave behind. */
export const scanState = ({ channels, states }: Pick<SelectiveScanShape, 'channels' | 'states'>): number =>
  2 * channels * states;

/** The recurrence of Mamba over the tokens of a step, with skip and gate. */
export function selectiveScan(recorder: Recorder, label: string, io: SelectiveScan, shape: SelectiveScanShape): void {
  const { channels, headSize, groups, states, aByState, stepLimits } = shape;
  const { x, z, steps, b, c } = io;
  const heads = channels / headSize;
  invariant(Number.isInteger(heads) && Number.isInteger(heads / groups), `${label}: heads and groups do not divide`);
  recorder.dispatch({
    shader: 'mixer/selective_scan',
    label,
    constants: {
      CHANNELS: channels,
      HEAD_SIZE: headSize,
      GROUPS: groups,
      STATES: states,
      X_ROW: x.row,
      X_AT: x.at,
      Z_ROW: z.row,
      Z_AT: z.at,
      STEP_ROW: steps.row,
      STEP_AT: steps.at,
      B_ROW: b.row,
      B_AT: b.at,
      C_ROW: c.row,
      C_AT: c.at,
      STEP_MIN: stepLimits[0],
      STEP_MAX: Math.min(stepLimits[1], MOST),
      A_BY_STATE: aByState,
    },
    bindings: {
      x: x.view,
      z: z.view,
      steps: steps.view,
      b: b.view,
      c: c.view,
      weights: io.weights,
      state: io.state,
      out: io.out,
    },
    grid: ({ tokens }) => (tokens === 0 ? [0, 0, 0] : foldGrid(ceilDiv(channels, 4))),
  });
}
