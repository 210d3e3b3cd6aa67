/** Experiments on a loaded model: what moe-interventions asks of it. */
import type { Model } from '../../src/index.ts';
import type { Runner } from '../../src/viz/index.ts';
import type { ModelShape } from '../routing/live-trace.ts';

type RunnerModel = Pick<Model, 'logits' | 'generate'> & {
  readonly tokenizer: Pick<NonNullable<Model['tokenizer']>, 'encode' | 'decode'> | null;
  readonly template: Pick<NonNullable<Model['template']>, 'render'> | null;
};

/** @returns null for a model without a tokenizer: nobody could say what its tokens are */
export function runnerOf(model: RunnerModel, name: string, { layers, experts, topK }: ModelShape): Runner | null {
  const { tokenizer, template } = model;
  if (!tokenizer) return null;
  return {
    name,
    layers,
    experts,
    topK,
    async encode(text) {
      const prompt = template ? await template.render([{ role: 'user', content: text }]) : text;
      return tokenizer.encode(prompt, { special: true });
    },
    texts: (ids) => Promise.all(ids.map((id) => tokenizer.decode([id]))),
    async next(ids, { changes, signal, lastOnly = false }) {
      const { logits, routing } = await model.logits(ids, {
        signal,
        ...(changes && { interventions: changes }),
        ...(lastOnly && { interveneFrom: ids.length - 1 }),
      });
      const vocab = logits.length / ids.length;
      return {
        logits: logits.slice(-vocab),
        chosen: routing.map(({ ids: taken }) => Array.from(taken.slice(-taken.length / ids.length))),
      };
    },
    async continue(ids, { changes, signal, maxTokens }) {
      const answer = model.generate(
        { ids },
        { maxTokens, temperature: 0, signal, routing: 'off', ...(changes && { interventions: changes }) },
      );
      for (;;) {
        const { value, done } = await answer.next();
        if (!done) continue;
        if (value.finishReason === 'abort') signal.throwIfAborted();
        return value.text;
      }
    },
  };
}
