/** What a model can be asked, wherever it runs: the one list that both sides of a worker share. */
import type { EmbedOptions } from '../engine/embedding.ts';
import type { CacheReport, ExpertStats } from '../engine/expert-stats.ts';
import type { Labels } from '../engine/labelling.ts';
import type { Model } from '../engine/model.ts';
import type { Plan } from '../engine/plan.ts';
import type { SamplingDefault } from '../engine/sampling.ts';
import type { LogitsResult } from '../engine/scoring.ts';
import type { Prompt } from '../engine/text.ts';
import type { ModelConfig } from '../config/model-config.ts';
import type { ChatMessage, RenderOptions } from '../text/chat-template.ts';
import type { DecodeOptions, EncodeOptions } from '../text/tokenizer.ts';
import type { SplitOptions } from './options.ts';

export type DeviceFacts = Model['device'];
export type Kept = Model['kept'];
export type StepLevel = NonNullable<Parameters<Model['onStep']>[1]>;
export type LostDevice = Awaited<Model['lost']>;

export type LogitsOptions = NonNullable<Parameters<Model['logits']>[1]>;

/** What changes while a model is used, and goes with every answer. */
export interface ModelState {
  readonly plan: Plan;
  /** Another one after a loss. */
  readonly device: DeviceFacts;
  readonly kept: Kept;
}

/** What a model is, for good. */
export interface ModelFacts extends ModelState {
  readonly id: string;
  readonly config: ModelConfig;
  readonly samplingDefaults: SamplingDefault;
  readonly endTokens: readonly number[];
  readonly tuning: Model['tuning'];
  /** null: no tokenizer.json */
  readonly tokenizer: { readonly vocabSize: number } | null;
  /** The chat template's text; null: there is none */
  readonly template: string | null;
}

/** Options are plain data here; their callbacks are told by name. */
export interface ModelCalls {
  expertStats(): ExpertStats | null;
  expertPlaces(): Uint8Array<ArrayBuffer>[];
  cacheReport(): CacheReport | null;
  logits(ids: readonly number[], options: Omit<LogitsOptions, 'signal'>): LogitsResult;
  embed(input: string | readonly string[], options: Omit<EmbedOptions, 'signal'>): Float32Array<ArrayBuffer>[];
  label(text: string): Labels;
  setGpuBytes(bytes: number): void;
  evict(layer: number, expert: number): void;
  settled(): void;
  counters(): Model['counters'];
  gpuBytes(): Model['gpuBytes'];
  encode(text: string, options?: EncodeOptions): number[];
  decode(ids: readonly number[], options?: DecodeOptions): string;
  render(messages: readonly ChatMessage[], options?: RenderOptions): string;
  /** Tells each step as an event, until it is aborted. */
  steps(level: StepLevel): void;
  /** Tells what happens to a lost device as an event, until it is aborted. */
  recovery(): void;
  /** Until the GPU goes away for good. */
  lost(): LostDevice;
  dispose(): void;
}

export type CallName = keyof ModelCalls;
export type Args<K extends CallName> = Parameters<ModelCalls[K]>;
export type Result<K extends CallName> = ReturnType<ModelCalls[K]>;

/** Arguments of the stream `generate`, whose items are tokens and whose end is the summary. */
export type GenerateArgs = readonly [prompt: Prompt, options: SplitOptions];
