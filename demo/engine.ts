/** What the page needs of webmoe: a type, so that tests of the page's states can put a scripted model in its place. */
import type { checkSupport, load, Model, ModelStorage, Plan, plan } from '../src/index.ts';

/** What a plan says about experts that do not all fit on the card. */
export type SlotPlan = Pick<Plan, 'slots' | 'mode' | 'minimumBytes' | 'fullBytes' | 'tokensPerSecond'>;

export type PagePlan = Plan;

/** What a model offers whose experts need not all be on the card. */
export type ExpertStore = Pick<Model, 'setGpuBytes' | 'expertStats' | 'onStep'>;

export type ChatModel = Pick<Model, 'generate' | 'plan' | 'device' | 'lost' | 'onRecovery' | 'dispose'> &
  Partial<ExpertStore & Pick<Model, 'samplingDefaults'>>;

export interface Engine {
  readonly checkSupport: () => ReturnType<typeof checkSupport>;
  readonly plan: (...args: Parameters<typeof plan>) => Promise<PagePlan>;
  readonly load: (...args: Parameters<typeof load>) => Promise<ChatModel>;
  /** null: this browser offers no storage; absent: the engine keeps nothing. */
  readonly storage?: ModelStorage | null;
}
