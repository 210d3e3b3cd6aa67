/** What a caller may do with a loaded model: talk in turns, stop, leave, queue, sample, throw it away; and what is refused. */
import { afterAll, describe, expect, it } from 'vitest';
import { loadOn } from '../../src/engine/load.ts';
import type { GenerateOptions, GeneratedToken, GenerateSummary } from '../../src/engine/generation.ts';
import type { Model } from '../../src/engine/model.ts';
import type { Prompt } from '../../src/engine/text.ts';
import { InvalidCheckpoint, InvalidRequest } from '../../src/errors.ts';
import { openModelGpu } from '../support/gpu.ts';
import { Golden } from '../support/golden.ts';
import { letters, withLetters } from '../support/letters.ts';
import { filesOf, text, withConfig, withModel, withTensor, type Files } from '../support/models.ts';
import { memorySource } from '../support/weights.ts';

const gpu = await openModelGpu();
const FOLDER = 'test/fixtures/families/mixtral';
const golden = new Golden(`${FOLDER}/golden.safetensors`);
const prompt = golden.ids('prompt_ids');
const greedy = golden.ids('greedy_ids');
const GREEDY = { temperature: 0, ignoreEnd: true } as const;

const files = withLetters(filesOf(FOLDER));
const load = (from: Files = files, options = {}): Promise<Model> =>
  loadOn(gpu.share(), memorySource(from), { contextLength: 128, prefillChunk: 16, ...options });
const model = await load();
afterAll(() => model.dispose());

interface Run {
  readonly tokens: readonly GeneratedToken[];
  readonly ids: readonly number[];
  readonly summary: GenerateSummary;
}

async function generate(
  on: Model,
  from: Prompt,
  options: GenerateOptions = {},
  each?: (n: number) => void,
): Promise<Run> {
  const tokens: GeneratedToken[] = [];
  const running = on.generate(from, options);
  for (;;) {
    const next = await running.next();
    if (next.done) return { tokens, ids: tokens.map((t) => t.id), summary: next.value };
    tokens.push(next.value);
    each?.(tokens.length);
  }
}

const refused = async (run: () => Promise<unknown>): Promise<InvalidRequest> => {
  const error = await run().then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(InvalidRequest);
  return error as InvalidRequest;
};

const ask = (from: Prompt, options?: GenerateOptions, on = model): Promise<unknown> =>
  on.generate(from, options).next();

describe('an answer', () => {
  it('ends with a summary', async () => {
    const { ids, summary, tokens } = await generate(model, { ids: prompt }, { ...GREEDY, maxTokens: 6 });
    expect(ids).toEqual(greedy.slice(0, 6));
    expect(summary).toMatchObject({ finishReason: 'length', promptTokens: prompt.length, generatedTokens: 6 });
    expect(summary.text).toBe(greedy.slice(0, 6).map(letters).join(''));
    expect(tokens.map((t) => t.text).join('')).toBe(summary.text);
    expect(summary.timeToFirstTokenMs).toBeGreaterThan(0);
    expect(summary.tokensPerSecond).toBeGreaterThan(0);
  });

  it('reports the logits that were: log-probabilities and routing of every token', async () => {
    const run = await generate(model, { ids: prompt }, { temperature: 1, seed: 5, ignoreEnd: true, maxTokens: 8 });
    const all = [...prompt, ...run.ids];
    const { logits, routing } = await model.logits(all);
    const { vocab } = model.config;
    run.tokens.forEach((token, i) => {
      const row = prompt.length - 1 + i; // the step that produced the token
      const values = logits.subarray(row * vocab, (row + 1) * vocab);
      const most = Math.max(...values);
      const logSum = most + Math.log(values.reduce((n, v) => n + Math.exp(v - most), 0));
      expect(Math.abs(token.logprob - (values[token.id]! - logSum))).toBeLessThan(1e-4);
      token.routing.forEach(({ ids, weights }, m) => {
        const k = ids.length;
        expect([...ids]).toEqual([...routing[m]!.ids.subarray(row * k, (row + 1) * k)]);
        weights.forEach((w, j) => expect(Math.abs(w - routing[m]!.weights[row * k + j]!)).toBeLessThan(1e-4));
      });
      expect(token.routing.length).toBe(2);
    });
  });

  it('repeats with its seed, and differs with another', async () => {
    const options = { temperature: 1.5, ignoreEnd: true, maxTokens: 12 };
    const first = await generate(model, { ids: prompt }, options);
    const again = await generate(model, { ids: prompt }, { ...options, seed: first.summary.seed });
    expect(again.ids).toEqual(first.ids);
    expect(again.tokens.map((t) => t.logprob)).toEqual(first.tokens.map((t) => t.logprob));
    const other = await generate(model, { ids: prompt }, { ...options, seed: first.summary.seed + 1 });
    expect(other.ids).not.toEqual(first.ids);
  });

  it('is greedy at temperature 0 whatever the seed, with top-k 1, and by default', async () => {
    const expected = greedy.slice(0, 5);
    const short = { ignoreEnd: true, maxTokens: 5 };
    for (const options of [{ temperature: 0, seed: 77 }, { temperature: 2, topK: 1 }, {}]) {
      expect((await generate(model, { ids: prompt }, { ...short, ...options })).ids).toEqual(expected);
    }
  });

  it('stops before a stop string, also one that spans tokens', async () => {
    const whole = greedy.map(letters).join('');
    const stop = whole.slice(4, 9);
    const run = await generate(model, { ids: prompt }, { ...GREEDY, stop: ['zzz', stop] });
    expect(run.summary).toMatchObject({ finishReason: 'stop', text: whole.slice(0, whole.indexOf(stop)) });
    expect(run.tokens.map((t) => t.text).join('')).toBe(run.summary.text);
    expect(run.ids).toEqual(greedy.slice(0, run.ids.length));
    const single = await generate(model, { ids: prompt }, { ...GREEDY, stop });
    expect(single.summary.text).toBe(run.summary.text);
  });

  it('ends at an end token, which has no text', async () => {
    const end = greedy[3]!;
    const ended = withConfig(files, { eos_token_id: 2 });
    const on = await load({ ...ended, 'generation_config.json': text({ eos_token_id: [255, end] }) });
    const run = await generate(on, { ids: prompt }, { temperature: 0 });
    expect(run.ids).toEqual(greedy.slice(0, 4));
    expect(run.summary).toMatchObject({ finishReason: 'stop', text: greedy.slice(0, 3).map(letters).join('') });
    expect((await generate(on, { ids: prompt }, { ...GREEDY, maxTokens: 6 })).ids).toEqual(greedy.slice(0, 6));
    await on.dispose();
  });

  it('ends at what only the tokenizer calls its end', async () => {
    const end = greedy[2]!;
    const named = withLetters(withConfig(filesOf(FOLDER), { eos_token_id: undefined }), { eos_token: letters(end) });
    const on = await load({ ...named, 'generation_config.json': text({}) });
    expect(on.endTokens).toEqual([end]);
    expect((await generate(on, { ids: prompt }, { temperature: 0 })).ids).toEqual(greedy.slice(0, 3));
    await on.dispose();
  });

  it('ends with the context', async () => {
    const on = await load(files, { contextLength: prompt.length + 5 });
    const run = await generate(on, { ids: prompt }, GREEDY);
    expect(run.ids).toEqual(greedy.slice(0, 5));
    expect(run.summary.finishReason).toBe('length');
    expect((await generate(on, { ids: prompt }, { ...GREEDY, maxTokens: 99 })).ids).toEqual(greedy.slice(0, 5));
    await on.dispose();
  });

  it('takes text, and a chat through its template', async () => {
    const said = prompt.map(letters).join('');
    const ids = [...model.text!.tokenizer.encode(said)];
    const expected = await generate(model, { ids }, { ...GREEDY, maxTokens: 4 });
    expect((await generate(model, said, { ...GREEDY, maxTokens: 4 })).ids).toEqual(expected.ids);
    const chat = [
      { role: 'user' as const, content: said.slice(0, 10) },
      { role: 'assistant' as const, content: said.slice(10) },
    ];
    expect((await generate(model, chat, { ...GREEDY, maxTokens: 4 })).ids).toEqual(expected.ids);
  });

  it('shows how far a long prompt is', async () => {
    const done: number[] = [];
    await generate(model, { ids: [200, ...prompt] }, { ...GREEDY, maxTokens: 1, onPrompt: (p) => done.push(p.done) });
    expect(done).toEqual([16, 32]);
  });
});

describe('turns', () => {
  it('pay only for what is new, and answer the same', async () => {
    const first = await generate(model, { ids: prompt }, { ...GREEDY, maxTokens: 6 });
    const second = [...prompt, ...first.ids, 17, 42];
    const before = model.counters;
    const kept = await generate(model, { ids: second }, { ...GREEDY, maxTokens: 6 });
    // The last token drawn was never fed back: its keys and values do not exist yet.
    expect(kept.summary.cachedTokens).toBe(prompt.length + first.ids.length - 1);
    expect(model.counters.submits - before.submits).toBe(6);

    const fresh = await load();
    const expected = await generate(fresh, { ids: second }, { ...GREEDY, maxTokens: 6 });
    await fresh.dispose();
    expect(expected.summary.cachedTokens).toBe(0);
    expect(kept.ids).toEqual(expected.ids);
    kept.tokens.forEach((t, i) => expect(Math.abs(t.logprob - expected.tokens[i]!.logprob)).toBeLessThan(1e-4));
  });

  it('keep the shared beginning of a prompt that differs later', async () => {
    await generate(model, { ids: prompt }, { ...GREEDY, maxTokens: 2 });
    const other = [...prompt.slice(0, 20), (prompt[20]! + 1) % 256, ...prompt.slice(21)];
    expect((await generate(model, { ids: other }, { ...GREEDY, maxTokens: 2 })).summary.cachedTokens).toBe(20);
    const back = await generate(model, { ids: prompt }, { ...GREEDY, maxTokens: 4 });
    expect(back.summary.cachedTokens).toBe(20);
    expect(back.ids).toEqual(greedy.slice(0, 4));
  });

  it('compute at least the last token again', async () => {
    await generate(model, { ids: prompt }, { ...GREEDY, maxTokens: 3 });
    const again = await generate(model, { ids: prompt }, { ...GREEDY, maxTokens: 3 });
    expect(again.summary.cachedTokens).toBe(prompt.length - 1);
    expect(again.ids).toEqual(greedy.slice(0, 3));
  });
});

describe('leaving early', () => {
  const usable = async (): Promise<void> => {
    const run = await generate(model, { ids: prompt }, { ...GREEDY, maxTokens: greedy.length });
    expect(run.ids).toEqual(greedy);
  };

  it('aborts between tokens and stays usable', async () => {
    const stop = new AbortController();
    const run = await generate(model, { ids: prompt }, { ...GREEDY, signal: stop.signal }, (n) => {
      if (n === 3) stop.abort();
    });
    expect(run.summary).toMatchObject({ finishReason: 'abort', generatedTokens: 3 });
    expect(run.summary.text).toBe(greedy.slice(0, 3).map(letters).join(''));
    const again = await generate(model, { ids: [...prompt, ...run.ids] }, { ...GREEDY, maxTokens: 3 });
    expect(again.summary.cachedTokens).toBe(prompt.length + 2);
    expect(again.ids).toEqual(greedy.slice(3, 6));
    await usable();
  });

  it('aborts inside a prompt and keeps what was read', async () => {
    const stop = new AbortController();
    const other = [250, ...prompt];
    const run = await generate(model, { ids: other }, { ...GREEDY, signal: stop.signal, onPrompt: () => stop.abort() });
    expect(run.summary).toMatchObject({ finishReason: 'abort', generatedTokens: 0, text: '' });
    expect((await generate(model, { ids: other }, { ...GREEDY, maxTokens: 1 })).summary.cachedTokens).toBe(16);
    await usable();
  });

  it('aborts before it begins', async () => {
    const run = await generate(model, { ids: prompt }, { signal: AbortSignal.abort() });
    expect(run.summary).toMatchObject({ finishReason: 'abort', generatedTokens: 0 });
    await usable();
  });

  it('may break out of the loop', async () => {
    let seen = 0;
    for await (const token of model.generate({ ids: prompt }, GREEDY)) {
      expect(token.id).toBe(greedy[seen]);
      if (++seen === 2) break;
    }
    await usable();
  });

  it('survives a caller that throws', async () => {
    const failing = generate(
      model,
      { ids: [251, ...prompt] },
      {
        ...GREEDY,
        onPrompt: () => {
          throw new Error('mine');
        },
      },
    );
    await expect(failing).rejects.toThrow('mine');
    await usable();
  });
});

describe('requests at the same time', () => {
  it('queue up', async () => {
    const other = [...prompt].reverse();
    const alone = await generate(model, { ids: other }, { ...GREEDY, maxTokens: 5 });
    const [a, b, scored, c] = await Promise.all([
      generate(model, { ids: prompt }, { ...GREEDY, maxTokens: 5 }),
      generate(model, { ids: other }, { ...GREEDY, maxTokens: 5 }),
      model.logits(prompt),
      generate(model, { ids: prompt }, { ...GREEDY, maxTokens: 5 }),
    ]);
    expect([a.ids, b.ids, c.ids]).toEqual([greedy.slice(0, 5), alone.ids, greedy.slice(0, 5)]);
    expect(scored.logits).toEqual((await model.logits(prompt)).logits);
  });

  it('do not hold each other up by failing', async () => {
    const [bad, good] = await Promise.allSettled([
      ask({ ids: [999] }),
      generate(model, { ids: prompt }, { ...GREEDY, maxTokens: 2 }),
    ]);
    expect(bad.status).toBe('rejected');
    expect(good.status).toBe('fulfilled');
  });
});

describe('refuses', () => {
  it.each<[string, Prompt, GenerateOptions, RegExp]>([
    ['an empty prompt', { ids: [] }, {}, /empty/],
    [
      'an id beyond the vocabulary',
      { ids: [1, 256] },
      {},
      /Token 1 of the prompt is 256; the vocabulary has ids 0 to 255/,
    ],
    ['a negative id', { ids: [-1] }, {}, /Token 0 of the prompt is -1/],
    ['half an id', { ids: [0.5] }, {}, /Token 0 of the prompt is 0.5/],
    ['a prompt that leaves no room', { ids: Array<number>(128).fill(3) }, {}, /128 tokens; the context holds 128/],
    ['no tokens', { ids: [1] }, { maxTokens: 0 }, /maxTokens/],
    ['half a token', { ids: [1] }, { maxTokens: 1.5 }, /maxTokens/],
    ['a negative temperature', { ids: [1] }, { temperature: -1 }, /temperature/],
    ['an empty stop string', { ids: [1] }, { stop: [''] }, /stop string/],
  ])('%s', async (_, from, options, message) => {
    expect((await refused(() => ask(from, options))).message).toMatch(message);
  });

  it('scores of what does not fit', async () => {
    expect((await refused(() => model.logits(Array<number>(129).fill(1)))).message).toMatch(/the context holds 128/);
    expect((await refused(() => model.logits([]))).message).toMatch(/empty/);
  });

  it('text where there is no tokenizer, a chat where there is no template', async () => {
    await withModel(gpu, FOLDER, {}, async (bare) => {
      expect(bare.text).toBeNull();
      expect((await refused(() => ask('hello', {}, bare))).message).toMatch(/tokenizer\.json/);
      expect((await refused(() => ask({ ids: [1] }, { stop: 'x' }, bare))).message).toMatch(/tokenizer/);
      const run = await generate(bare, { ids: prompt }, { ...GREEDY, maxTokens: 2 });
      expect([run.ids, run.summary.text]).toEqual([greedy.slice(0, 2), '']);
    });
    const plain = Object.fromEntries(Object.entries(files).filter(([name]) => name !== 'chat_template.jinja'));
    const on = await load(plain);
    expect((await refused(() => ask([{ role: 'user', content: 'a' }], {}, on))).message).toMatch(/no chat template/);
    await on.dispose();
  });
});

describe('dispose', () => {
  const emptied = async (use: (on: Model) => Promise<void>): Promise<void> => {
    const own = gpu.share();
    const on = await loadOn(own, memorySource(files), { contextLength: 64 });
    await use(on);
    await on.dispose();
    expect(Object.values(own.ledger.bytesByRole()).every((bytes) => bytes === 0)).toBe(true);
    for (const run of [() => ask({ ids: [1] }, {}, on), () => on.logits([1])]) {
      expect((await refused(run)).message).toBe('The model was disposed');
    }
  };

  it('frees everything, once', () => emptied((on) => on.dispose()));

  it('may be called inside the loop', () =>
    emptied(async (on) => {
      const looping = async (): Promise<void> => {
        for await (const token of on.generate({ ids: prompt }, GREEDY)) {
          expect(token.id).toBe(greedy[0]);
          await on.dispose();
        }
      };
      expect((await refused(looping)).message).toBe('The model was disposed');
    }));

  it('waits neither for a caller who stopped asking nor for the queue', () =>
    emptied(async (on) => {
      const abandoned = on.generate({ ids: prompt }, GREEDY);
      await abandoned.next();
      const queued = refused(() => ask({ ids: prompt }, GREEDY, on));
      await on.dispose();
      expect((await queued).message).toBe('The model was disposed');
    }));

  it('waits for the token being computed', () =>
    emptied(async (on) => {
      const running = refused(() => generate(on, { ids: prompt }, GREEDY));
      await new Promise((resolve) => setTimeout(resolve, 20));
      await on.dispose();
      expect((await running).message).toBe('The model was disposed');
    }));
});

describe('weights that are no numbers', () => {
  it.each(['model.layers.0.self_attn.q_proj.weight', 'lm_head.weight', 'model.norm.weight'])('%s', async (name) => {
    const damaged = withTensor(files, name, { bytes: (b) => b.set([0xc0, 0x7f], 2 * 7) });
    const on = await load(damaged);
    for (const run of [() => ask({ ids: prompt }, GREEDY, on), () => on.logits(prompt)]) {
      const error = await run().catch((e: unknown) => e);
      expect(error).toBeInstanceOf(InvalidCheckpoint);
      expect((error as InvalidCheckpoint).fault).toBe('not-finite');
    }
    await on.dispose();
  });
});
