/** The package's surface on `window`, as little as shows where a model runs. */
import { load, type ExpertStats, type LoadOptions, type Model } from '../../../src/index.ts';

export const SMALL: LoadOptions = { contextLength: 128, prefillChunk: 8, storage: null };

export interface Tokens {
  readonly ids: number[];
  readonly runsIn: Model['runsIn'];
  readonly storage: ExpertStats['storage'] | undefined;
}

/** Greedy tokens, and where the model ran. */
export async function tokens(url: string, options: LoadOptions = {}): Promise<Tokens> {
  const model = await load(url, { ...SMALL, ...options });
  const ids: number[] = [];
  const answer = model.generate({ ids: [3, 1, 4] }, { temperature: 0, maxTokens: 4, ignoreEnd: true });
  for await (const { id } of answer) ids.push(id);
  const stats = await model.expertStats();
  const { runsIn } = model;
  await model.dispose();
  return { ids, runsIn, storage: stats?.storage };
}

declare global {
  interface Window {
    tokens: typeof tokens;
  }
}

window.tokens = tokens;
