/** What the page needs of webmoe: a type, so that tests of the page's states can put a scripted model in its place. */
import type {
  checkSupport,
  ExpertStats,
  load,
  Model,
  ModelStorage,
  Plan,
  plan,
  StepEvent,
  StoreMode,
} from '../src/index.ts';

/** What a plan says about experts that do not all fit on the card. */
export interface SlotPlan {
  readonly slots: {
    /** Experts on the card at once, of how many, and the fewest that work. */
    readonly count: number;
    readonly experts: number;
    readonly minimum: number;
    readonly bytesEach: number;
  };
  readonly mode: StoreMode;
  /** Graphics memory in all: with the fewest slots, and with every expert on the card. */
  readonly minimumBytes: number;
  readonly fullBytes: number;
  readonly tokensPerSecond: number | null;
}

export type PagePlan = Plan & Partial<SlotPlan>;

/** What a model offers whose experts need not all be on the card. */
export interface ExpertStore {
  setGpuBytes(bytes: number): Promise<void>;
  expertStats(): ExpertStats | null;
  /** @returns stops listening */
  onStep(listener: (event: StepEvent) => void): () => void;
}

export type ChatModel = Pick<Model, 'generate' | 'device' | 'lost' | 'dispose'> & {
  readonly plan: PagePlan;
} & Partial<ExpertStore>;

export interface Engine {
  readonly checkSupport: () => ReturnType<typeof checkSupport>;
  readonly plan: (...args: Parameters<typeof plan>) => Promise<PagePlan>;
  readonly load: (...args: Parameters<typeof load>) => Promise<ChatModel>;
  /** null: this browser offers no storage; absent: the engine keeps nothing. */
  readonly storage?: ModelStorage | null;
}
