/** The experiments of the views on a real model: their numbers are the engine's, and nothing of them stays in it. */
import { describe, expect, it } from 'vitest';
import { runnerOf } from '../../demo/visualiser/runner.ts';
import { InvalidRequest } from '../../src/errors.ts';
import { divergenceOf } from '../../src/trace/stats/kl.ts';
import { Experiment } from '../../src/viz/experiment.ts';
import { openModelGpu } from '../support/gpu.ts';
import { fixturePath, withModel } from '../support/models.ts';
import { promptOf } from '../support/outcome.ts';

const gpu = await openModelGpu();
const SHAPE = { layers: 2, experts: 16, topK: 4 };
const TOKENS = 4;
const nothing = (): void => undefined;

describe('interventions as the views make them', () => {
  it('each expert of a layer in turn: the engine’s own numbers, 0 for those that nobody chose, and the original bits after', async () => {
    await withModel(gpu, fixturePath('families/olmoe'), {}, async (model) => {
      const ids = promptOf(model).slice(0, 6);
      const tokenizer = {
        encode: () => Promise.resolve([...ids]),
        decode: (list: Iterable<number>) => Promise.resolve([...list].join()),
      };
      const runner = runnerOf(
        { logits: model.logits.bind(model), generate: model.generate.bind(model), tokenizer, template: null },
        'olmoe',
        SHAPE,
      )!;
      const experiment = new Experiment(runner);
      const vocab = model.config.vocab;
      const last = async (options: Parameters<typeof model.logits>[1]): Promise<Float32Array> =>
        (await model.logits(ids, options)).logits.slice(-vocab);
      const plain = await model.logits(ids);

      await experiment.maskEach('x', 0, TOKENS, nothing);
      expect(experiment.problem).toBe(null);
      const { done } = experiment.trials!;
      expect(done).toHaveLength(16);
      const taken = new Set(plain.routing[0]!.ids);
      expect(taken.size).toBeLessThan(16);
      for (const { expert, forward, wasChosen } of done) {
        const masked = await last({ interventions: { mask: [[0, expert]] } });
        expect(forward).toBe(divergenceOf(plain.logits.slice(-vocab), masked).forward);
        if (taken.has(expert)) expect(forward).toBeGreaterThan(0);
        else expect(forward).toBe(0);
        expect(wasChosen).toBe([...plain.routing[0]!.ids.slice(-4)].includes(expert));
      }

      await experiment.forceEach('x', 1, TOKENS, nothing);
      expect(experiment.trials!.done).toHaveLength(12);
      expect(experiment.trials!.done.every(({ forward }) => forward > 0)).toBe(true);

      await experiment.compare('x', { topK: 1 }, 'one expert', TOKENS, nothing);
      expect(experiment.after!.forward).toBe(
        divergenceOf(plain.logits.slice(-vocab), await last({ interventions: { topK: 1 } })).forward,
      );
      expect(experiment.after!.movers[0]!.before).not.toBe(experiment.after!.movers[0]!.after);

      experiment.undo();
      expect(experiment.after).toBe(null);
      expect((await model.logits(ids)).logits).toEqual(plain.logits);
    });
  });

  it('from a position on: the tokens before keep their bits, the others have those of the change', async () => {
    await withModel(gpu, fixturePath('families/olmoe'), {}, async (model) => {
      const ids = promptOf(model).slice(0, 6);
      const interventions = { mask: [[0, 1] as const, [1, 2] as const], topK: 2 };
      const interveneFrom = 4;
      const cut = await model.logits(ids, { interveneFrom });
      const changed = await model.logits(ids, { interventions, interveneFrom });
      const before = interveneFrom * model.config.vocab;
      expect(changed.logits.slice(0, before)).toEqual(cut.logits.slice(0, before));
      expect(changed.logits.slice(before)).not.toEqual(cut.logits.slice(before));
      for (const [layer, expert] of interventions.mask) {
        const { ids: chosen } = changed.routing[layer]!;
        const k = chosen.length / ids.length;
        expect([...chosen.slice(interveneFrom * k)]).not.toContain(expert);
        expect(chosen.slice(0, interveneFrom * k)).toEqual(cut.routing[layer]!.ids.slice(0, interveneFrom * k));
      }
      expect((await model.logits(ids, { interveneFrom })).logits).toEqual(cut.logits);
      await expect(model.logits(ids, { interveneFrom: 6 })).rejects.toThrow(InvalidRequest);
    });
  });
});
