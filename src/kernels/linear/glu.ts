import type { Activation } from '../../config/model-config.ts';
import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import { invariant } from '../../util/assert.ts';
import { activationConstants } from '../activation.ts';
import type { DeviceMatrix } from '../matrix.ts';
import type { Phase } from '../phase.ts';
import { fusesNorm, productOf } from './shared.ts';

export interface GluIo {
  readonly x: BufferView; // [T, K]
  /** Row 2f is gate f, row 2f + 1 is up f; without a gate row f of up, and row f + F / 2. */
  readonly weights: DeviceMatrix; // [2F, K], without a gate [F, K]
  readonly out: BufferView; // [T, F]
  /** Fuses an RMS norm of x in; on a software adapter not in phase `prefill`: see `fusesNorm`. */
  readonly gamma?: BufferView; // [K]
}

export interface GluOptions {
  readonly phase: Phase;
  readonly activation: Activation;
  /** Of the norm; must come with `gamma`. */
  readonly eps?: number;
}

const SHADERS = {
  matvec: 'linear/glu_matvec',
  few: 'linear/glu_few',
  lane: 'linear/glu_lane',
  matmul: 'linear/glu_matmul',
} as const;

/** out = activate(gate h, up h), where h is x or, with gamma, x / rms(x) * gamma. */
export function glu(recorder: Recorder, label: string, io: GluIo, options: GluOptions): void {
  const { x, weights, out, gamma } = io;
  const { phase, activation, eps } = options;
  invariant(weights.rows % 2 === 0, `${label}: rows come in pairs, got ${weights.rows} rows`);
  invariant((gamma === undefined) === (eps === undefined), `${label}: gamma and eps come together`);
  const { facts } = recorder.gpu;
  const fuses = fusesNorm(facts.kernels, phase);
  invariant(fuses || !gamma, `${label}: the prefill kernel for software does not norm its input`);
  const input = { xRow: weights.cols, xAt: 0 };
  const { kind, product } = productOf(weights, input, { phase, eps: gamma ? eps! : null, facts });
  recorder.dispatch({
    shader: SHADERS[kind],
    label,
    constants: { ...product.constants, ...activationConstants(activation) },
    imports: product.imports,
    bindings: { x, values: weights.view, scales: weights.view, out, ...(gamma ? { gamma } : {}) },
    grid: ({ tokens }) => product.grid(tokens),
  });
}
