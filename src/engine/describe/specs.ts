/** What a model's weights are on their way to the GPU: of which published matrices, in which layouts and parts. */
import type { RouterBlock } from '../../kernels/moe/router_block.ts';
import type { LayerWeights, ModelWeights } from '../../layers/weights.ts';
import type { SlotLayout } from '../../moe/slots.ts';
import type { ExpertBias, ExpertMatrices } from '../../weights/formats/index.ts';
import type { Layout, MatrixShape } from '../../weights/layout.ts';
import type { PublishedMatrix } from '../../weights/matrix.ts';

/** Rows [begin, end) of a published matrix go to rows `target`, `target + stride`, ... of a part. */
export interface Piece {
  readonly source: PublishedMatrix;
  readonly begin: number;
  readonly end: number;
  readonly target: number;
  readonly stride: number;
}

/** A stretch of rows with one layout that fits one binding. */
export interface MatrixPart extends MatrixShape {
  readonly firstRow: number;
  readonly layout: Layout;
  readonly pieces: readonly Piece[];
}

export interface MatrixSpec extends MatrixShape {
  readonly label: string;
  readonly parts: readonly MatrixPart[];
}

export interface VectorSpec {
  readonly label: string;
  readonly length: number;
  load(signal?: AbortSignal): Promise<Float32Array>;
}

export interface ExpertsSpec {
  readonly label: string;
  readonly count: number; // E
  readonly topK: number; // K
  readonly slot: SlotLayout;
  readonly matrices: (e: number) => ExpertMatrices;
  readonly bias: ((e: number, signal?: AbortSignal) => Promise<ExpertBias>) | null;
  readonly storedBytes: number;
}

export interface RouterSpec {
  readonly label: string;
  readonly block: RouterBlock;
  readonly matrix: MatrixPart; // [E, D], at the block's start
  /** With byte offsets in the block. */
  readonly vectors: readonly { readonly at: number; readonly vector: VectorSpec }[];
}

export type ModelSpec = ModelWeights<MatrixSpec, VectorSpec, ExpertsSpec, RouterSpec>;
export type LayerSpec = LayerWeights<MatrixSpec, VectorSpec, ExpertsSpec, RouterSpec>;

/** Of every MoE layer. */
export const expertSpecs = (spec: ModelSpec): ExpertsSpec[] =>
  spec.layers.flatMap(({ ffn }) => (ffn.kind === 'moe' ? [ffn.experts] : []));
