export interface CheckpointShapes {
  readonly layers: number;
  readonly hidden: number;
  readonly width: number;
  readonly experts: number;
  readonly perToken: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly vocab: number;
}

export const MIXTRAL_8X7B: CheckpointShapes;

/** Ids from 0 whose embeddings are not zero. */
export const USED_IDS: number;

export function writeSparseCheckpoint(
  options: Partial<CheckpointShapes> & {
    readonly out: string;
    readonly dtype?: 'bf16' | 'f32';
    readonly seed?: number;
    readonly shardBytes?: number;
  },
): { readonly shards: readonly string[]; readonly bytes: number };
