/**
 * Encoders alone against golden values: vectors of texts and hidden states to 1e-3 of RMS, routing exactly; the same bits with few experts on the GPU; and
 * what such a model does not do.
 */
import { describe, expect, it, vi } from 'vitest';
import { load, plan } from '../../src/engine/load.ts';
import type { LayerRouting } from '../../src/engine/routing.ts';
import { scoreFinalHidden } from '../../src/engine/scoring.ts';
import { Session } from '../../src/engine/session.ts';
import { readRouting } from '../../src/engine/session/read-routing.ts';
import { pathSource } from '../../src/weights/node-source.ts';
import { expectClose } from '../support/conformance.ts';
import { listedDispatches } from '../support/dispatches.ts';
import { ENCODERS, fixturePath } from '../support/fixture-list.ts';
import { Golden } from '../support/golden.ts';
import { openModelDawn, openModelGpu, pretend } from '../support/gpu.ts';
import { LosableGpu } from '../support/losable.ts';
import { filesOf, text, withModel } from '../support/models.ts';
import { memorySource } from '../support/weights.ts';

const gpu = await openModelGpu();
const KERNELS = { gpu, software: pretend(gpu, true) };

/** A word for each token. */
const TOKENIZER = {
  added_tokens: ['<s>', '<pad>', '</s>'].map((content, id) => ({ id, content, special: true })),
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [
      { type: 'WhitespaceSplit' },
      { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
    ],
  },
  decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
  model: {
    type: 'Unigram',
    unk_id: 2,
    vocab: [
      ...['<s>', '<pad>', '</s>'].map((piece) => [piece, -2]),
      ...Array.from({ length: 125 }, (_, i) => [`▁w${i + 3}`, -4]),
    ],
  },
};
/** Of each layer and token, the two by ascending id. */
const byId = (layers: readonly LayerRouting[]): (readonly [id: number, weight: number])[] =>
  layers.flatMap(({ ids, weights }) =>
    Array.from({ length: ids.length / 2 }, (_, t) =>
      [2 * t, 2 * t + 1].map((i) => [ids[i]!, weights[i]!] as const).sort(([a], [b]) => a - b),
    ).flat(),
  );

const words = (ids: readonly number[]): string => ids.map((id) => `w${id}`).join(' ');

describe.each(ENCODERS)('%s', (fixture) => {
  const golden = new Golden(`${fixturePath(fixture)}/golden.safetensors`);
  const prompt = golden.ids('prompt_ids');
  const source = memorySource({ ...filesOf(fixturePath(fixture)), 'tokenizer.json': text(TOKENIZER) });

  it.each(['gpu', 'software'] as const)('gives the golden values: %s', (kernels) =>
    withModel(KERNELS[kernels], source, {}, async (model) => {
      const before = model.counters.dispatches;
      const score = vi.spyOn(Session.prototype, 'score');
      const [mean] = await model.embed(words(prompt));
      const session = score.mock.contexts[0] as Session;
      score.mockRestore();
      expectClose(mean!, golden.floats('embedding'), 1e-3, 'embedding');
      expect(model.counters.dispatches - before).toBe(listedDispatches().get(fixture)![kernels].prefill);

      const states: Float32Array[] = [];
      await scoreFinalHidden(session, prompt, (values) => states.push(values));
      expect(states).toHaveLength(1);
      expectClose(states[0]!, golden.floats('hidden'), 1e-3, 'hidden');
      const [first] = await model.embed(words(prompt), { pooling: 'first', normalize: false });
      expect(first).toEqual(states[0]!.slice(0, model.config.hidden));
      const [last] = await model.embed(words(prompt), { pooling: 'last', normalize: false });
      expect(last).toEqual(states[0]!.slice(-model.config.hidden));

      const routing = byId(await readRouting(session.gpu, session.forward.logs.chunk, prompt.length));
      expect(routing.map(([id]) => id)).toEqual(golden.ids('topk_ids'));
      const weights = routing.map(([, weight]) => weight);
      expectClose(weights, golden.floats('topk_weights'), 1e-3, 'weights');
    }),
  );

  it('says the same, bit for bit, with few experts on the GPU, after other texts, and when the device was lost', async () => {
    const texts = [words(prompt), words(prompt.slice(0, 7)), 'w5'];
    const want = await withModel(gpu, source, {}, (model) => model.embed(texts));
    expect(want.map(([first]) => first)).not.toContain(NaN);
    await withModel(gpu, source, { expertsResident: 0 }, async (few) => {
      expect(few.plan.verdict).toBe('streams');
      expect(await few.embed([...texts].reverse())).toEqual([...want].reverse());
    });
    const losable = new LosableGpu(await openModelDawn());
    try {
      const options = { gpu: losable.asGpu, kernels: 'gpu', defaultLimits: true, collect: false } as const;
      const model = await load(source, { ...options, contextLength: 64 });
      await model.embed('w9');
      losable.last.lose();
      expect(await model.embed(texts)).toEqual(want);
      await model.dispose();
    } finally {
      losable.dispose();
    }
  });

  it('takes what was planned, to the byte, and has neither answers nor logits', async () => {
    const options = { contextLength: 72 } as const;
    const planned = await plan(pathSource(fixturePath(fixture)), { ...options, limits: gpu.facts.limits });
    await withModel(gpu, fixturePath(fixture), { ...options, prefillChunk: 13 }, async (model) => {
      expect(model.gpuBytes).toEqual(planned.bytes);
      const refused = (option: string) => ({
        name: 'InvalidRequest',
        message: expect.stringContaining(model.config.head.labels ? 'Use label' : 'Use embed') as string,
        details: { option },
      });
      await expect(model.generate({ ids: prompt }).next()).rejects.toMatchObject(refused('generate'));
      await expect(model.logits(prompt)).rejects.toMatchObject(refused('logits'));
    });
    await expect(withModel(gpu, source, { requests: {} }, async () => undefined)).rejects.toMatchObject({
      details: { option: 'requests' },
    });
  });
});

it('labels tokens as the golden values do, and says where they are', async () => {
  const folder = fixturePath('families/privacy-filter');
  const golden = new Golden(`${folder}/golden.safetensors`);
  const prompt = golden.ids('prompt_ids');
  const source = memorySource({ ...filesOf(folder), 'tokenizer.json': text(TOKENIZER) });
  await withModel(gpu, source, {}, async (model) => {
    const whole = words(prompt);
    const { tokens, spans } = await model.label(whole);
    const names = model.config.head.labels!;
    expect(tokens.map(({ id }) => id)).toEqual(prompt);
    expect(tokens.map(({ label }) => names.indexOf(label))).toEqual(golden.ids('labels'));
    expectClose(
      tokens.map(({ probability }) => probability),
      golden.floats('probabilities'),
      1e-3,
      'probabilities',
    );
    expect(tokens.map(({ start, end }) => whole.slice(start, end).trim())).toEqual(prompt.map((id) => `w${id}`));
    expect(spans.length).toBeGreaterThan(9);
    for (const { start, end, text } of spans) expect(text).toBe(whole.slice(start, end).trim());
    await expect(model.label('')).rejects.toMatchObject({ name: 'InvalidRequest' });
    await expect(model.label('w5  w6')).rejects.toMatchObject({ name: 'UnsupportedModel' }); // the tokenizer joins blanks
  });
  await withModel(gpu, fixturePath('families/nomic-bert'), {}, (model) =>
    expect(model.label('w5')).rejects.toMatchObject({ details: { option: 'label', family: 'nomic-bert' } }),
  );
});

it('pools as the file beside the model says, unless a request says otherwise', async () => {
  const files = { ...filesOf(fixturePath('families/nomic-bert')), 'tokenizer.json': text(TOKENIZER) };
  const pooled = (config: Record<string, unknown>): Promise<(Float32Array | undefined)[]> =>
    withModel(gpu, memorySource({ ...files, '1_Pooling/config.json': text(config) }), {}, async (model) => [
      ...(await model.embed('w5 w6')),
      ...(await model.embed('w5 w6', { pooling: 'mean' })),
      ...(await model.embed('w5 w6', { pooling: 'first' })),
    ]);
  const [said, mean, first] = await pooled({ pooling_mode_cls_token: true, pooling_mode_mean_tokens: false });
  expect(said).toEqual(first);
  expect(said).not.toEqual(mean);
  await expect(pooled({ pooling_mode_max_tokens: true })).rejects.toMatchObject({ name: 'UnsupportedModel' });
});
