/**
 * Encoder-decoders against the values that transformers computed: greedy ids and the routing of both stacks exactly, logits to 1e-3 of RMS; with every
 * expert on the GPU, and the same bits with few.
 */
import { describe, expect, it } from 'vitest';
import { load, plan } from '../../src/engine/load.ts';
import type { Model } from '../../src/engine/model.ts';
import type { Prompt } from '../../src/engine/text.ts';
import type { Counters } from '../../src/gpu/gpu.ts';
import type { RunRouting } from '../../src/trace/run-routing.ts';
import { pathSource } from '../../src/weights/node-source.ts';
import { expectClose } from '../support/conformance.ts';
import { listedDispatches } from '../support/dispatches.ts';
import { ENCODER_DECODERS, fixturePath, SPARSE_ENCODER_DECODERS } from '../support/fixture-list.ts';
import { Golden } from '../support/golden.ts';
import { openModelDawn, openModelGpu, pretend } from '../support/gpu.ts';
import { languageTokenizer } from '../support/language-tokenizer.ts';
import { LosableGpu } from '../support/losable.ts';
import { filesOf, text, withModel } from '../support/models.ts';
import { memorySource } from '../support/weights.ts';

const gpu = await openModelGpu();
const KERNELS = { gpu, software: pretend(gpu, true) };

interface Answered {
  readonly ids: readonly number[];
  readonly logprobs: readonly number[];
  readonly routing: RunRouting;
  /** Tokens of the prompt that were not computed again. */
  readonly cached: number;
  /** What the first token cost, and each after it. */
  readonly costs: readonly Readonly<Record<string, number>>[];
}

/** @param each called with the number of tokens so far, before the next is asked for */
async function answer(
  model: Model,
  prompt: readonly number[],
  maxTokens: number,
  each?: (tokens: number) => void,
): Promise<Answered> {
  const options = { temperature: 0, maxTokens, ignoreEnd: true, promptRouting: true };
  const ids: number[] = [];
  const logprobs: number[] = [];
  const costs: Record<string, number>[] = [];
  const tokens = model.generate({ ids: prompt }, options);
  for (let before = model.counters; ; before = model.counters) {
    const next = await tokens.next();
    if (next.done) {
      const { routing, cachedTokens: cached } = next.value;
      return { ids, logprobs, routing: routing!, cached, costs };
    }
    ids.push(next.value.id);
    logprobs.push(next.value.logprob);
    const spent = Object.entries(model.counters).map(([key, now]) => [key, now - before[key as keyof Counters]]);
    costs.push(Object.fromEntries(spent) as Record<string, number>);
    each?.(ids.length);
  }
}

/** Of [T, L, K] those of some layers. */
const columns = <T>(of: ArrayLike<T>, [layers, topK]: readonly [number, number], first: number, end: number): T[] =>
  Array.from(of).filter((_, i) => {
    const layer = Math.floor(i / topK) % layers;
    return layer >= first && layer < end;
  });

/** As T5's: a unigram model, blanks that begin words, and an end token behind every text. */
const TOKENIZER = {
  added_tokens: ['<pad>', '</s>', '<unk>'].map((content, id) => ({ id, content, special: true })),
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [
      { type: 'WhitespaceSplit' },
      { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
    ],
  },
  post_processor: {
    type: 'TemplateProcessing',
    single: [{ Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: { id: '</s>', type_id: 0 } }],
    special_tokens: { '</s>': { id: '</s>', ids: [1], tokens: ['</s>'] } },
  },
  decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
  model: {
    type: 'Unigram',
    unk_id: 2,
    vocab: [
      ...['<pad>', '</s>', '<unk>', '▁'].map((piece) => [piece, -2]),
      ...Array.from({ length: 26 }, (_, i) => [String.fromCharCode(97 + i), -3]),
      ...Array.from({ length: 66 }, (_, i) => [`▁w${i}`, -4]),
    ],
  },
};

it('takes a text and gives one', async () => {
  const files = { ...filesOf(fixturePath('families/switch')), 'tokenizer.json': text(TOKENIZER) };
  await withModel(gpu, memorySource(files), {}, async (model) => {
    const tokens = model.generate('w3 ab', { temperature: 0, maxTokens: 6, ignoreEnd: true });
    const ids: number[] = [];
    for (let next = await tokens.next(); ; next = await tokens.next()) {
      if (!next.done) ids.push(next.value.id);
      else {
        expect(next.value.promptTokens).toBe(5); // ▁w3 ▁ a b </s>
        expect(next.value.text).toBe(model.text!.tokenizer.decode(ids, { skipSpecial: true }));
        break;
      }
    }
    expect(ids).toEqual((await answer(model, [33, 3, 4, 5, 1], 6)).ids);
  });
});

it('translates a text into the language that is asked for', async () => {
  const tokenizer = text(languageTokenizer('code last'));
  const files = { ...filesOf(fixturePath('families/m2m-100')), 'tokenizer.json': tokenizer };
  await withModel(gpu, memorySource(files), {}, async (model) => {
    const translated = async (prompt: Prompt, targetLanguage: string | number): Promise<[number, number][]> => {
      const drawn: [number, number][] = [];
      const options = { targetLanguage, temperature: 0, maxTokens: 4, ignoreEnd: true };
      for await (const { id, logprob } of model.generate(prompt, options)) drawn.push([id, logprob]);
      return drawn;
    };
    const drawn = await translated('w1 w2', 'fra_Latn');
    expect(drawn[0]![0]).toBe(95);
    expect(drawn).toEqual(await translated({ ids: [93, 5, 6, 2] }, 95));
    const other = await translated('w1 w2', 'deu_Latn');
    expect(other[0]![0]).toBe(94);
    expect(drawn[1]![1]).not.toBe(other[1]![1]);
  });
});

function expected(fixture: string) {
  const folder = fixturePath(fixture);
  const golden = new Golden(`${folder}/golden.safetensors`);
  return { folder, golden, prompt: golden.ids('prompt_ids'), greedy: golden.ids('greedy_ids') };
}

/** Compares the routing of both stacks, where there is any. @returns MoE layers of the encoder */
function expectRouting(golden: Golden, { layers, topK, prompt: read, generation }: RunRouting): number {
  if (!golden.has('topk_ids')) {
    expect(layers).toBe(0);
    return 0;
  }
  const encoderLayers = golden.shape('encoder_topk_ids')[1]!;
  const shape = [layers, topK] as const;
  const encoder = [shape, 0, encoderLayers] as const;
  const decoder = [shape, encoderLayers, layers] as const;
  expect(columns(read!.routed_experts, ...encoder)).toEqual(golden.ids('encoder_topk_ids'));
  expectClose(columns(read!.router_weights, ...encoder), golden.floats('encoder_topk_weights'), 1e-3, 'weights');
  expect(new Set(columns(read!.routed_experts, ...decoder))).toEqual(new Set([-1]));
  // What the start token chose is not of the answer.
  const own = (layers - encoderLayers) * topK;
  expect(columns(generation!.routed_experts, ...decoder)).toEqual(golden.ids('topk_ids').slice(own));
  expect(new Set(columns(generation!.routed_experts, ...encoder))).toEqual(new Set([-1]));
  return encoderLayers;
}

describe.each(ENCODER_DECODERS)('%s', (fixture) => {
  const { folder, golden, prompt, greedy } = expected(fixture);

  it.each(['gpu', 'software'] as const)('gives the golden values: %s', (kernels) =>
    withModel(KERNELS[kernels], folder, {}, async (model) => {
      const { startToken } = model.config.encoder!;
      const ids = [startToken!, ...greedy.slice(0, -1)];
      const scored = await model.logits(ids, { encoded: prompt });
      expectClose(scored.logits, golden.floats('logits'), 1e-3, 'logits');
      const answered = await answer(model, prompt, greedy.length);
      expect(answered.ids).toEqual(greedy);

      const { routing } = answered;
      const inEncoder = expectRouting(golden, routing);
      expect(scored.routing.map((r) => r.ids.length)).toEqual(
        Array.from({ length: routing.layers }, (_, i) => (i < inEncoder ? 0 : ids.length * routing.topK)),
      );

      const listed = listedDispatches().get(fixture)![kernels];
      const nothingNew = { bindGroupsCreated: 0, pipelinesCreated: 0 };
      // The encoder's step, and what its layers chose, come before the decoder's first.
      const readbacks = routing.layers > 0 ? 2 : 1;
      const first = { dispatches: listed.prefill, submits: readbacks + 1, readbacks };
      expect(answered.costs[0]).toMatchObject({ ...nothingNew, ...first });
      for (const token of answered.costs.slice(1))
        expect(token).toMatchObject({
          ...nothingNew,
          buffersCreated: 0,
          dispatches: listed.decode,
          submits: 1,
          readbacks: 1,
        });
    }),
  );

  it('takes what was planned, to the byte, and answers alike with keys and values in f16', async () => {
    const options = { contextLength: 72, kv: 'f16' } as const;
    const planned = await plan(pathSource(folder), { ...options, limits: gpu.facts.limits });
    await withModel(gpu, folder, { ...options, prefillChunk: 13 }, async (model) => {
      expect(model.gpuBytes).toEqual(planned.bytes);
      const encoded = prompt;
      const { logits } = await model.logits([model.config.encoder!.startToken!, ...greedy.slice(0, -1)], { encoded });
      expectClose(logits, golden.floats('logits'), 2e-2, 'logits'); // f16 has 11 bits
    });
  });
});

describe.each(SPARSE_ENCODER_DECODERS)('%s', (fixture) => {
  const { folder, prompt, greedy } = expected(fixture);

  it('says the same, bit for bit, with few experts on the GPU, and after other texts', () =>
    withModel(gpu, folder, {}, async (model) => {
      const positions: number[] = [];
      const stop = model.onStep(({ phase, position }) => phase === 'decode' && positions.push(position));
      const want = await answer(model, prompt, greedy.length);
      stop();
      // The start token's step, and one for each token that was fed.
      expect(positions).toEqual(greedy.map((_, i) => prompt.length - 1 + i));
      expect((await answer(model, prompt, 2)).cached).toBe(0); // a text is read anew, the same one too
      await answer(model, [...prompt].reverse(), 5);
      await answer(model, [1], 3); // a text of one token is read by the encoder, too
      expect((await answer(model, prompt, greedy.length)).logprobs).toEqual(want.logprobs);
      for (const mode of ['optimistic', 'lockstep'] as const) {
        await withModel(gpu, folder, { mode, expertsResident: 0 }, async (few) => {
          expect(few.plan.verdict).toBe('streams');
          const got = await answer(few, prompt, greedy.length);
          expect([got.ids, got.logprobs, got.routing]).toEqual([want.ids, want.logprobs, want.routing]);
        });
      }
    }));
});

describe('one of them', () => {
  const { folder, prompt, greedy } = expected('families/switch');

  it('goes on where it was when the device is lost', async () => {
    const losable = new LosableGpu(await openModelDawn());
    try {
      const options = { gpu: losable.asGpu, kernels: 'gpu', defaultLimits: true, collect: false } as const;
      const model = await load(pathSource(folder), { ...options, contextLength: 64 });
      const want = await answer(model, prompt, 5);
      const got = await answer(model, prompt, 5, (tokens) => {
        if (tokens === 3) losable.last.lose();
      });
      expect(losable.devices).toHaveLength(2);
      expect([got.ids, got.logprobs, got.routing]).toEqual([want.ids, want.logprobs, want.routing]);
      await model.dispose();
    } finally {
      losable.dispose();
    }
  });

  it('refuses by name what needs one stack', () =>
    withModel(gpu, folder, {}, async (model) => {
      await expect(model.logits(greedy)).rejects.toMatchObject({ details: { option: 'encoded' } });
      await expect(model.logits(greedy, { encoded: prompt, hidden: true })).rejects.toMatchObject({
        details: { option: 'hidden' },
      });
      await expect(model.embed('x')).rejects.toMatchObject({ details: { option: 'embed' } });
      await expect(withModel(gpu, folder, { requests: {} }, async () => undefined)).rejects.toMatchObject({
        details: { option: 'requests' },
      });
    }));
});
