/** What a model answers, bit by bit: to compare one way of running it with another. */
import type { Model } from '../../src/engine/model.ts';
import type { LogitsResult } from '../../src/engine/scoring.ts';
import { prng } from '../../src/util/prng.ts';

export interface Drawn {
  readonly id: number;
  readonly logprob: number;
  /** Ids of each MoE layer. */
  readonly experts: readonly (readonly number[])[];
}

export interface Outcome {
  readonly logits: LogitsResult;
  readonly drawn: readonly Drawn[];
}

export const promptOf = ({ config }: Model, tokens = 13): number[] => {
  const u = prng(5);
  return Array.from({ length: tokens }, () => Math.floor(u() * config.vocab));
};

/** Greedy tokens, with a penalty so that token counts matter. */
export async function draw(model: Model, maxTokens: number, prompt = promptOf(model)): Promise<Drawn[]> {
  const drawn: Drawn[] = [];
  const options = { temperature: 0, ignoreEnd: true, maxTokens, repetitionPenalty: 1.1 };
  for await (const { id, logprob, routing } of model.generate({ ids: prompt }, options))
    drawn.push({ id, logprob, experts: routing.map((r) => [...r.ids]) });
  return drawn;
}

export async function outcomeOf(model: Model, maxTokens: number): Promise<Outcome> {
  return { logits: await model.logits(promptOf(model)), drawn: await draw(model, maxTokens) };
}
