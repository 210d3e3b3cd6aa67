/** How a workgroup of 64 lanes shares the rows of a matrix-vector product: see shaders/linear/matvec_rows.wgsl. */
import { ceilDiv } from '../../util/math.ts';
import { CHUNK, type MatrixShape } from '../../weights/layout.ts';

export interface MatvecShape {
  /** Lanes that share a row: 4, 8, 16 or 32; 1 on a software adapter. */
  readonly lanes: number;
  /** Rows whose sums one lane holds at a time: 1, 2 or 4. */
  readonly rowsPerLane: number;
  /** Rows of one workgroup. */
  readonly rows: number;
}

const WORKGROUP = 64;
/** About what fills a mid-range GPU: below it a dispatch lasts as long as its longest lane, above it as long as all lanes together. */
const FULL_LANES = 32768;
const FULL_WORKGROUPS = 256;
/** Enough for the cores that a machine without a GPU usually has. */
const SOFTWARE_WORKGROUPS = 4;

/**
 * On a software adapter a lane is a quarter of a CPU vector and a workgroup runs on one core, so sharing a row only costs: 960 x 576 in bf16 takes
 * 28.6 ms with 16 lanes a row and 1.2 ms with one (SwiftShader, 2 busy cores).
 */
function softwareShape(n: number): MatvecShape {
  const rowsPerLane = [4, 2].find((r) => n / (WORKGROUP * r) >= SOFTWARE_WORKGROUPS) ?? 1;
  return { lanes: 1, rowsPerLane, rows: WORKGROUP * rowsPerLane };
}

/** @param software whether the adapter is a CPU: `facts.adapter.isFallback` */
export function matvecShape({ rows: n, cols }: MatrixShape, software: boolean): MatvecShape {
  if (software) return softwareShape(n);
  const chunks = ceilDiv(cols, CHUNK);
  const time = (lanes: number): number => ceilDiv(chunks, lanes) * Math.max(1, (n * lanes) / FULL_LANES);
  // 16 first: with equal times, 16 lanes read 256 neighbouring bytes of a 4-bit row.
  const lanes = [16, 32, 8, 4].reduce((best, l) => (time(l) < time(best) ? l : best));
  const workgroups = (rowsPerLane: number): number => (n * lanes) / (WORKGROUP * rowsPerLane);
  const rowsPerLane = [4, 2].find((r) => workgroups(r) >= FULL_WORKGROUPS) ?? 1;
  return { lanes, rowsPerLane, rows: (WORKGROUP / lanes) * rowsPerLane };
}
