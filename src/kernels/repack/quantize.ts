import type { BufferView } from '../../gpu/buffer.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import { foldGrid, type DispatchSpec, type Recorder } from '../../gpu/recording.ts';
import { invariant } from '../../util/assert.ts';
import { ceilDiv } from '../../util/math.ts';
import { CHUNK, layoutName, planes, type Layout, type MatrixShape } from '../../weights/layout.ts';

export interface QuantizeIo {
  /** Words of `rows` x K elements, one row after the other without padding. */
  readonly source: BufferView;
  /** Holds the whole matrix in its native layout. */
  readonly target: BufferView;
  /** QUANTIZE_PARAMS_BYTES; written with `quantizeParams` before each run. */
  readonly params: BufferView;
}

export interface QuantizeOptions {
  readonly from: 'bf16' | 'f16' | 'f32';
  /** int 4 or 8, group 32, scale bf16 or f16, no zeros. bf16 scales have no range to leave; f16 ones reach from 6e-8 to 65,504. */
  readonly layout: Layout;
  /** Of the target. */
  readonly shape: MatrixShape;
  /** The most source rows of one run. */
  readonly maxRows: number;
}

export interface QuantizeParams {
  readonly rows: number;
  /** Source row i becomes target row firstRow + i * rowStride: a stride of 2 interleaves gate and up. */
  readonly firstRow: number;
  readonly rowStride: number;
  /** Where the matrix starts in `target`, a multiple of 4 bytes. */
  readonly targetAt?: number;
}

type QuantizeShader = Pick<DispatchSpec, 'shader' | 'constants'>;

export const QUANTIZE_PARAMS_BYTES = 16;

export const quantizeParams = ({ rows, firstRow, rowStride, targetAt = 0 }: QuantizeParams): Uint32Array<ArrayBuffer> =>
  Uint32Array.of(rows, firstRow, rowStride, targetAt / 4);

function quantizeShader(label: string, { from, layout, shape }: QuantizeOptions): QuantizeShader {
  invariant(
    layout.kind === 'int' && layout.group === CHUNK && layout.scale !== 'f32' && !layout.zeros,
    `${label}: cannot quantise to ${layoutName(layout)}`,
  );
  const { chunks, scalesAt, scaleRowWords } = planes(layout, shape);
  const constants = {
    COLS: shape.cols,
    W_CHUNKS: chunks,
    W_SCALES_AT: scalesAt / 4,
    W_SCALE_ROW: scaleRowWords,
    FOUR_BITS: layout.bits === 4,
    SCALE_F16: layout.scale === 'f16',
    FROM_F32: from === 'f32',
    FROM_F16: from === 'f16',
    FROM_BF16: from === 'bf16',
  };
  return { shader: 'repack/quantize', constants };
}

/** Asks for the shader that `quantize` with the same options runs. @returns settles when it is compiled */
export async function compileQuantize(gpu: Gpu, label: string, options: QuantizeOptions): Promise<void> {
  const { shader, constants } = quantizeShader(label, options);
  await gpu.pipelines.get(shader, constants, {}).pipeline;
}

/** Rounds float rows into an integer layout on the GPU; what changes from run to run is in `params`, so one program serves a whole matrix. */
export function quantize(recorder: Recorder, label: string, io: QuantizeIo, options: QuantizeOptions): void {
  const { shape, layout, maxRows } = options;
  const { chunks } = planes(layout, shape);
  recorder.dispatch({
    ...quantizeShader(label, options),
    label,
    bindings: { source: io.source, params: io.params, matrix: io.target },
    grid: () => foldGrid(ceilDiv(maxRows * ceilDiv(chunks, 2), 64)),
  });
}
