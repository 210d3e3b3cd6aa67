/** What the page needs of webmoe: a type, so that tests of the page's states can put a scripted model in its place. */
import type { checkSupport, load, Model, plan } from '../src/index.ts';

export type ChatModel = Pick<Model, 'generate' | 'plan' | 'device' | 'lost' | 'dispose'>;

export interface Engine {
  readonly checkSupport: () => ReturnType<typeof checkSupport>;
  readonly plan: typeof plan;
  readonly load: (...args: Parameters<typeof load>) => Promise<ChatModel>;
}
