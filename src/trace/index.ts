/** webmoe/trace: the routing of runs as files, as arrays for other tools, and replayed through cache policies. No GPU, no Node. */
export { InvalidRequest, InvalidTrace, WebmoeError } from '../errors.ts';
export { POLICY_NAMES } from '../policy/index.ts';
export type { ResidencyPolicy } from '../policy/policy.ts';
export { checkTrace } from './check-trace.ts';
export { readCounts, writeCounts } from './counts-npz.ts';
export { checkCounts, type CountedPairs, type CountsTable, type TopTokens } from './counts-table.ts';
export { joinTraces } from './join-traces.ts';
export { LiveTrace, type LiveOptions, type LiveStep, type LiveToken } from './live.ts';
export type { LiveRouting } from './live-rows.ts';
export { readLlamaCsv, type LlamaCsvOptions } from './llama-csv.ts';
export { openTrace, READABLE_TRACES } from './open-trace.ts';
export { readTrace, writeTrace, type WriteOptions } from './npz.ts';
export {
  expertBytesOf,
  traceOf,
  type RecordedRun,
  type RunDetails,
  type TracedModel,
  type TracedRun,
} from './of-run.ts';
export type { Pooling } from './pool.ts';
export { replayPrefetch, type PrefetchResult } from './prefetch-replay.ts';
export { replay, replayAside, type ReplayedVisit, type ReplayOptions, type ReplayResult } from './replay.ts';
export { PLACES, type Place } from './places.ts';
export { readRouteCsv } from './route-csv.ts';
export {
  NO_EXPERT,
  ROUTING_LEVELS,
  type PromptChunk,
  type RoutedTokens,
  type RoutingLevel,
  type RunRouting,
} from './run-routing.ts';
export * from './stats/index.ts';
export {
  ABSENT,
  ORIGINS,
  tokensOf,
  type Provenance,
  type Trace,
  type TraceChat,
  type TraceModel,
  type TraceStep,
  type TraceTiming,
  UNKNOWN_TOKEN,
} from './trace.ts';
export type { TimedStep } from './timing.ts';
export { popularityOf, visitsOf, type Visits } from './visits.ts';
export { fromVllm, toVllm, type VllmResponse } from './vllm.ts';
