/** How a workgroup of 64 lanes shares the rows of a matrix-vector product: see shaders/linear/row_lanes.wgsl. */
import { ceilDiv } from '../../util/math.ts';
import { CHUNK, type MatrixShape } from '../../weights/layout.ts';

export interface MatvecShape {
  /** Lanes that share a row: 4, 8, 16 or 32. */
  readonly lanes: number;
  /** Rows whose sums one lane holds at a time: 1, 2, 4 or 8; 16 take registers that waves lack then. */
  readonly rowsPerLane: number;
  /** Rows of one workgroup. */
  readonly rows: number;
}

const WORKGROUP = 64;
/** About what fills a mid-range GPU: below it a dispatch lasts as long as its longest lane, above it as long as all lanes together. */
const FULL_LANES = 32768;
const FULL_WORKGROUPS = 256;

export function matvecShape({ rows: n, cols }: MatrixShape): MatvecShape {
  const chunks = ceilDiv(cols, CHUNK);
  const time = (lanes: number): number => ceilDiv(chunks, lanes) * Math.max(1, (n * lanes) / FULL_LANES);
  // 16 first: with equal times, 16 lanes read 256 neighbouring bytes of a 4-bit row.
  const lanes = [16, 32, 8, 4].reduce((best, l) => (time(l) < time(best) ? l : best));
  const workgroups = (rowsPerLane: number): number => (n * lanes) / (WORKGROUP * rowsPerLane);
  const rowsPerLane = [8, 4, 2].find((r) => workgroups(r) >= FULL_WORKGROUPS) ?? 1;
  return { lanes, rowsPerLane, rows: (WORKGROUP / lanes) * rowsPerLane };
}
