import { alignUp, ceilDiv } from '../../util/math.ts';
import { CHUNK } from '../../weights/layout.ts';
import { BYTES, moves, pairValues, weightRowBytes, type ConstantsOf, type Cost, type CostRule } from '../cost.ts';

/** Tokens, and columns of a row of weights, that the lanes of a kernel work on. */
type Issued = (
  c: ConstantsOf,
  tokens: number,
) => { readonly tokens: number; readonly rows: number; readonly columns: number };

const WORKGROUP = 64;

const matvec: Issued = (c, tokens) => {
  const lanes = c.number('LANES');
  const rows = alignUp(c.number('N'), (WORKGROUP / lanes) * c.number('ROWS_PER_LANE'));
  return { tokens, rows, columns: alignUp(c.number('W_CHUNKS'), lanes) * CHUNK };
};

/** Lanes of 16 workgroup lanes: 64 rows of one token, or 128 of four. */
const lane: Issued = (c, tokens) => {
  const block = c.flag('BLOCK');
  const rows = alignUp(c.number('N'), block ? 128 : 64);
  return { tokens: block ? alignUp(tokens, 4) : tokens, rows, columns: c.number('W_CHUNKS') * CHUNK };
};

const matmul: Issued = (c, tokens) => ({
  tokens: alignUp(tokens, 32),
  rows: alignUp(c.number('N'), 64),
  columns: c.number('W_CHUNKS') * CHUNK,
});

/** @param outputs values of a token's result, for N rows of weights */
function product(c: ConstantsOf, issued: Issued, outputs: number, tokens: number): Cost {
  const [n, k] = [c.number('N'), c.number('K')];
  const { tokens: t, rows, columns } = issued(c, tokens);
  const [bias, gamma] = [c.isOn('BIAS') ? n : 0, c.isOn('GAMMA') ? k : 0];
  const [residual, scale] = [c.isOn('RESIDUAL') ? n : 0, c.isOn('ROW_SCALE') ? 1 : 0];
  const passed = c.isOn('PASSES') ? 2 * c.number('PASS_COUNT') : 0;
  return {
    weightBytes: n * weightRowBytes(c) + BYTES * (bias + gamma),
    kvBytes: 0,
    activationBytes: BYTES * tokens * (k + outputs + residual + scale + passed),
    usefulFlops: 2 * tokens * n * k,
    issuedFlops: 2 * t * rows * columns,
  };
}

const linear =
  (issued: Issued): CostRule =>
  (c) =>
    product(c, issued, c.number('N'), c.isOn('LAST') ? Math.min(1, c.tokens) : c.tokens);

const glu =
  (issued: Issued): CostRule =>
  (c) =>
    product(c, issued, pairValues(c) * ceilDiv(c.number('N'), 2), c.tokens);

export const LINEAR_COSTS: Readonly<Record<string, CostRule>> = {
  'linear/matvec': linear(matvec),
  'linear/matvec_few': linear(matvec),
  'linear/matvec_lane': linear(lane),
  'linear/matmul': linear(matmul),
  'linear/glu_matvec': glu(matvec),
  'linear/glu_few': glu(matvec),
  'linear/glu_lane': glu(lane),
  'linear/glu_matmul': glu(matmul),
  'linear/glu_triples': (c) => moves({ activationBytes: BYTES * c.launch.grid[2] * 4 * c.number('F') }),
  'linear/glu_pairs': (c) => moves({ activationBytes: BYTES * c.tokens * (2 + pairValues(c)) * c.number('F') }),
};
