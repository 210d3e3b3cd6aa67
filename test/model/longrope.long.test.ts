/** longrope, one checkpoint in two contexts: as long as that of pretraining, and longer. test/model/fixtures has the golden values beyond it. */
import { expect, it } from 'vitest';
import { referenceModel } from '../../src/reference/model.ts';
import { expectClose } from '../support/conformance.ts';
import { openModelGpu } from '../support/gpu.ts';
import { Golden } from '../support/golden.ts';
import { fixturePath, withModel } from '../support/models.ts';
import { decoder, loadConfig, readModel } from '../unit/families/checkpoint.ts';

const folder = fixturePath('families/phimoe-longrope');
const golden = new Golden(`${folder}/golden-short.safetensors`);
const prompt = golden.ids('prompt_ids');
const greedy = golden.ids('greedy_ids');
const ORIGINAL = 24;
const gpu = await openModelGpu();

it('gives the golden values of short factors in a context as long as that of pretraining', () =>
  withModel(gpu, folder, { contextLength: ORIGINAL }, async (model) => {
    expect(model.plan.longRope).toEqual({ factors: 'short', shortUpTo: ORIGINAL });
    const { logits } = await model.logits(prompt);
    expectClose(logits, golden.floats('logits'), 1e-3, 'logits');
    const drawn: number[] = [];
    const options = { temperature: 0, maxTokens: greedy.length, ignoreEnd: true };
    for await (const token of model.generate({ ids: prompt }, options)) drawn.push(token.id);
    expect(drawn).toEqual(greedy);
  }));

it('turns a short conversation by long factors in a longer context', () =>
  withModel(gpu, folder, { contextLength: ORIGINAL + 1 }, async (model) => {
    expect(model.plan.longRope).toEqual({ factors: 'long', shortUpTo: ORIGINAL });
    const { config, names } = loadConfig(folder);
    const run = referenceModel(config, names, decoder(readModel(folder)), prompt, [], ORIGINAL + 1);
    const expected = Float32Array.from(run.logits.flatMap((row) => [...row]));
    const { logits } = await model.logits(prompt);
    expectClose(logits, expected, 1e-3, 'logits');
    expect(() => expectClose(logits, golden.floats('logits'), 1e-3, 'logits')).toThrow();
  }));
