/** Records as an engine uses them, whoever may write them. */
import type { RecordCache } from './cache.ts';

export type Records = Pick<
  RecordCache,
  | 'has'
  | 'read'
  | 'hasRoom'
  | 'write'
  | 'sync'
  | 'savePopularity'
  | 'close'
  | 'presentBytes'
  | 'totalBytes'
  | 'isComplete'
  | 'note'
  | 'popularity'
>;
