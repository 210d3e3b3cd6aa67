import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import { invariant } from '../../util/assert.ts';
import type { DeviceMatrix } from '../matrix.ts';
import type { Phase } from '../phase.ts';
import { fusesNorm, productOf } from './shared.ts';

export interface LinearIo {
  readonly x: BufferView; // [T, xRow]
  readonly weights: DeviceMatrix; // [N, K]
  readonly out: BufferView; // [T, outRow]
  readonly bias?: BufferView; // [N]
  /** Placed as `out`, in another buffer. */
  readonly residual?: BufferView; // [T, outRow]
  readonly rowScale?: BufferView; // [T]
  /** Fuses an RMS norm of x in; on a software adapter not in phase `prefill`: see `fusesNorm`. */
  readonly gamma?: BufferView; // [K]
}

export interface LinearOptions {
  /** Same result up to rounding. */
  readonly phase: Phase;
  /** Length of a row of x, and where its K values start. */
  readonly xRow?: number;
  readonly xAt?: number;
  /** Length of a row of out, and where its N values go. */
  readonly outRow?: number;
  readonly outAt?: number;
  /** Multiplies all but the residual. */
  readonly scale?: number;
  /** The result y counts as cap tanh(y / cap), before the residual. Absent: as it is. */
  readonly softcap?: number | undefined;
  /** Of the norm; must come with `gamma`. */
  readonly eps?: number;
  /** Also copies `count` values at `at` of a row of x to `to` of the row of out, each token by itself; not in phase `prefill` nor on a software adapter. */
  readonly passes?: { readonly at: number; readonly to: number; readonly count: number };
  /** `last`: only token T-1, into row 0 of out (residual, too, is read at row 0); by the decode kernel in either phase. */
  readonly row?: 'all' | 'last';
}

const SHADERS = {
  matvec: 'linear/matvec',
  few: 'linear/matvec_few',
  lane: 'linear/matvec_lane',
  matmul: 'linear/matmul',
} as const;

/** out = (h W^T + bias) * rowScale * scale + residual, where h is x or, with gamma, x / rms(x) * gamma. */
export function linear(recorder: Recorder, label: string, io: LinearIo, options: LinearOptions): void {
  const { x, weights, out, bias, residual, rowScale, gamma } = io;
  const {
    phase,
    xRow = weights.cols,
    xAt = 0,
    outRow = weights.rows,
    outAt = 0,
    scale = 1,
    softcap,
    eps,
    row = 'all',
    passes,
  } = options;
  const last = row === 'last';
  const isAlone = last || (passes !== undefined && phase === 'few');
  invariant((gamma === undefined) === (eps === undefined), `${label}: gamma and eps come together`);
  const { facts } = recorder.gpu;
  const fuses = isAlone || fusesNorm(facts.kernels, phase);
  invariant(fuses || !gamma, `${label}: the prefill kernel for software does not norm its input`);
  const chosen = { phase: isAlone ? 'decode' : phase, eps: gamma ? eps! : null, facts } as const;
  const { kind, product } = productOf(weights, { xRow, xAt }, chosen);
  invariant(!passes || kind === 'matvec', `${label}: only linear/matvec passes values on`);
  recorder.dispatch({
    shader: SHADERS[kind],
    label,
    constants: {
      ...product.constants,
      OUT_ROW: outRow,
      OUT_AT: outAt,
      BIAS: bias !== undefined,
      RESIDUAL: residual !== undefined,
      ROW_SCALE: rowScale !== undefined,
      OUT_SCALED: scale !== 1,
      ...(scale === 1 ? {} : { OUT_SCALE: scale }),
      SOFTCAP: softcap !== undefined,
      ...(softcap === undefined ? {} : { CAP: softcap }),
      ...(kind === 'matvec' || kind === 'lane' ? { LAST: last } : {}),
      ...(kind === 'matvec' ? { PASSES: passes !== undefined } : {}),
      ...(passes ? { PASS_AT: passes.at, PASS_TO: passes.to, PASS_COUNT: passes.count } : {}),
    },
    imports: product.imports,
    bindings: {
      x,
      values: weights.view,
      scales: weights.view,
      out,
      ...(bias ? { bias } : {}),
      ...(residual ? { residual } : {}),
      ...(rowScale ? { row_scale: rowScale } : {}),
      ...(gamma ? { gamma } : {}),
    },
    grid: ({ tokens }) => product.grid(last ? Math.min(1, tokens) : tokens),
  });
}
