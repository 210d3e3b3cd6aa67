/** What the page needs of webmoe: a type, so that tests of the page's states can put a scripted model in its place. */
import type {
  checkSupport,
  GenerateOptions,
  GenerateSummary,
  load,
  Model,
  ModelStorage,
  Plan,
  plan,
} from '../src/index.ts';

/** What a plan says about experts that do not all fit on the card. */
export type SlotPlan = Pick<Plan, 'slots' | 'mode' | 'minimumBytes' | 'fullBytes' | 'tokensPerSecond'>;

export type PagePlan = Plan;

/** What a model offers whose experts need not all be on the card. */
export type ExpertStore = Pick<Model, 'setGpuBytes' | 'expertStats' | 'onStep'>;

export type ChatModel = Pick<Model, 'generate' | 'plan' | 'device' | 'lost' | 'onRecovery' | 'dispose'> &
  Partial<ExpertStore & Pick<Model, 'samplingDefaults' | 'config'>>;

type Counts = Pick<
  GenerateSummary,
  | 'promptTokens'
  | 'cachedTokens'
  | 'generatedTokens'
  | 'seed'
  | 'timeToFirstTokenMs'
  | 'tokensPerSecond'
  | 'approximations'
>;

/** How an answer ended; a server may count nothing. */
export type AnswerEnd = Pick<GenerateSummary, 'finishReason'> & (Counts | { readonly counts: null });
export type CountedEnd = Pick<GenerateSummary, 'finishReason'> & Counts;

export type Turn = Readonly<{ role: 'system' | 'user' | 'assistant'; content: string }>;

/** Who answers in a conversation: a model on this computer, or a server. */
export interface Answerer extends Pick<ChatModel, 'onStep' | 'samplingDefaults'> {
  readonly plan: Pick<Plan, 'contextLength'>;
  generate(
    prompt: readonly Turn[],
    options?: GenerateOptions,
  ): AsyncGenerator<{ readonly text: string }, AnswerEnd, void>;
}

export interface Engine {
  readonly checkSupport: () => ReturnType<typeof checkSupport>;
  readonly plan: (...args: Parameters<typeof plan>) => Promise<PagePlan>;
  readonly load: (...args: Parameters<typeof load>) => Promise<ChatModel>;
  /** null: this browser offers no storage; absent: the engine keeps nothing. */
  readonly storage?: ModelStorage | null;
}
