/** Constants and grids that linear.ts and glu.ts have in common. */
import type { DeviceFacts, KernelChoice } from '../../gpu/device.ts';
import type { Constants } from '../../gpu/shader.ts';
import { foldGrid, type Grid } from '../../gpu/recording.ts';
import { ceilDiv } from '../../util/math.ts';
import { weightFormat } from '../../weights/layout.ts';
import type { DeviceMatrix } from '../matrix.ts';
import { FEW_TOKENS, type Phase } from '../phase.ts';
import { matvecShape } from './matvec_shape.ts';
import { hasSubgroups, productsImport, tileConstants } from './products.ts';
import { inputConstants, type InputRows } from './x_rows.ts';

const TILE_TOKENS = 32;
const TILE_ROWS = 64;
/** Of a workgroup of linear/lane_rows: 16 lanes with 4 rows of one token, or 8 of four. */
const LANE_ROWS = 64;
const BLOCK_ROWS = 128;
const BLOCK_TOKENS = 4;

export interface Product {
  readonly constants: Constants;
  readonly imports: Readonly<Record<string, string>>;
  readonly grid: (tokens: number) => Grid;
}

const common = ({ layout, rows, cols }: DeviceMatrix, input: InputRows): Product['constants'] => ({
  ...weightFormat(layout, { rows, cols }).constants,
  ...inputConstants(cols, input),
  N: rows,
});

const norm = (eps: number | null): Constants => ({ GAMMA: eps !== null, ...(eps === null ? {} : { EPS: eps }) });

/** For shaders that import `linear/matvec_rows`. `eps` is null without a fused norm. */
function matvecProduct(weights: DeviceMatrix, input: InputRows, eps: number | null, facts: DeviceFacts): Product {
  const { lanes, rowsPerLane, rows } = matvecShape(weights);
  return {
    constants: {
      ...common(weights, input),
      LANES: lanes,
      ROWS_PER_LANE: rowsPerLane,
      SUBGROUPS: hasSubgroups(facts),
      ...norm(eps),
    },
    imports: {
      ...weightFormat(weights.layout, weights, false).imports,
      products: productsImport(weights.layout, facts, rowsPerLane),
    },
    grid: (tokens) => foldGrid(ceilDiv(weights.rows, rows), tokens),
  };
}

/** For shaders that import `linear/lane_rows`. `block`: four tokens a lane. */
function laneProduct(weights: DeviceMatrix, input: InputRows, eps: number | null, block: boolean): Product {
  return {
    constants: { ...common(weights, input), ...norm(eps), BLOCK: block },
    imports: weightFormat(weights.layout, weights, true).imports,
    grid: (tokens) =>
      block
        ? foldGrid(ceilDiv(weights.rows, BLOCK_ROWS), ceilDiv(tokens, BLOCK_TOKENS))
        : foldGrid(ceilDiv(weights.rows, LANE_ROWS), tokens),
  };
}

/** For shaders that import `linear/few_rows`. Lanes as in decode: the order of a sum depends on them, on rows a lane it does not. */
function fewProduct(weights: DeviceMatrix, input: InputRows, eps: number | null, facts: DeviceFacts): Product {
  const { lanes, rowsPerLane: most } = matvecShape(weights);
  const rowsPerLane = Math.min(2, most); // a lane keeps 8 sums for each of them
  const rows = (64 / lanes) * rowsPerLane;
  return {
    constants: {
      ...common(weights, input),
      LANES: lanes,
      ROWS_PER_LANE: rowsPerLane,
      COLUMNS: FEW_TOKENS,
      SUBGROUPS: hasSubgroups(facts),
      ...norm(eps),
    },
    imports: {
      ...weightFormat(weights.layout, weights, false).imports,
      products: productsImport(weights.layout, facts, most), // those of decode, too
    },
    grid: (tokens) => foldGrid(ceilDiv(weights.rows, rows), ceilDiv(tokens, FEW_TOKENS)),
  };
}

/** For shaders that import `linear/matmul_tile`, or with F16 `linear/matmul_tile_f16`. */
function matmulProduct(weights: DeviceMatrix, input: InputRows, eps: number | null, facts: DeviceFacts): Product {
  return {
    constants: { ...common(weights, input), ...norm(eps), ...tileConstants(weights.layout, undefined, facts) },
    imports: weightFormat(weights.layout, weights, false).imports,
    grid: (tokens) => foldGrid(ceilDiv(weights.rows, TILE_ROWS), ceilDiv(tokens, TILE_TOKENS)),
  };
}

export interface ProductOptions {
  readonly phase: Phase;
  /** Null without a fused norm. */
  readonly eps: number | null;
  readonly facts: DeviceFacts;
}

/**
 * Whether linear maps of a phase norm their input on the way: in prefill, a lane that takes four tokens for a CPU's sake would do it for every eight
 * rows. A few tokens are normed as one is, for the sake of the same bits.
 */
export const fusesNorm = (kernels: KernelChoice, phase: Phase): boolean => phase !== 'prefill' || kernels === 'gpu';

/** Which kernel: see shaders/linear/matvec_rows, few_rows, lane_rows and matmul_tile. */
export function productOf(
  weights: DeviceMatrix,
  input: InputRows,
  { phase, eps, facts }: ProductOptions,
): { readonly kind: 'matvec' | 'few' | 'lane' | 'matmul'; readonly product: Product } {
  if (facts.kernels === 'software')
    return { kind: 'lane', product: laneProduct(weights, input, eps, phase !== 'decode') };
  if (phase === 'decode') return { kind: 'matvec', product: matvecProduct(weights, input, eps, facts) };
  if (phase === 'few') return { kind: 'few', product: fewProduct(weights, input, eps, facts) };
  return { kind: 'matmul', product: matmulProduct(weights, input, eps, facts) };
}
