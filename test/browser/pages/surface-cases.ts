/** What a page can do with a model, as cases whose outcomes must not depend on where the model runs. Times are left out. */
import {
  InvalidRequest,
  WebmoeError,
  type ByteSource,
  type GeneratedToken,
  type GenerateOptions,
  type GenerateSummary,
  type LoadOptions,
  type LoadProgress,
  type Model,
  type Prompt,
  type StepEvent,
} from '../../../src/index.ts';
import { PLACES } from '../../../src/trace/index.ts';

export type Load = (options?: LoadOptions) => Promise<Model>;

const PROMPT = { ids: [3, 141, 59, 26, 53, 58, 97, 93, 23] };
const GREEDY: GenerateOptions = { seed: 1, temperature: 0, repetitionPenalty: 1, ignoreEnd: true, maxTokens: 6 };

const without = <T extends object>(value: T, ...keys: readonly (keyof T)[]): object =>
  Object.fromEntries(Object.entries(value).filter(([key]) => !keys.includes(key as keyof T)));

const untimed = (summary: GenerateSummary): object => without(summary, 'timeToFirstTokenMs', 'tokensPerSecond');

async function answer(
  model: Model,
  prompt: Prompt,
  options: GenerateOptions,
): Promise<{ tokens: GeneratedToken[]; summary: object }> {
  const tokens: GeneratedToken[] = [];
  const generated = model.generate(prompt, options);
  for (;;) {
    const { value, done } = await generated.next();
    if (done) return { tokens, summary: untimed(value) };
    tokens.push(value);
  }
}

const idsOf = ({ tokens }: { tokens: GeneratedToken[] }): number[] => tokens.map(({ id }) => id);

/** What an error is, as a page can tell. */
export function facts(error: unknown): object {
  if (!(error instanceof Error)) return { value: error };
  const { name, message } = error;
  const own = error instanceof WebmoeError ? { code: error.code, details: error.details } : {};
  const more = Object.fromEntries(Object.entries(error).filter(([key]) => key === 'reason' || key === 'fault'));
  return {
    name,
    message,
    ...own,
    ...more,
    constructors: [InvalidRequest, WebmoeError, DOMException, TypeError].map((Class) => error instanceof Class),
  };
}

const failure = (action: Promise<unknown>): Promise<object> => action.then(() => ({ none: true }), facts);

async function using<T>(load: Load, options: LoadOptions, action: (model: Model) => Promise<T>): Promise<T> {
  const model = await load(options);
  try {
    return await action(model);
  } finally {
    await model.dispose();
  }
}

/** What does not depend on how fast experts came. */
const untimedStep = ({ phase, mode, position, tokens, layers }: StepEvent): object => ({
  ...{ phase, mode, position, tokens },
  layers: layers.map(({ needed, ids, weights }) => ({ needed, ids, weights })),
});

/** A LoRA adapter of rank 1 on one projection of attention in layer 0, of a model of 64 columns, as picked files. */
function adapter(projection: string, size: number): File[] {
  const length = 64;
  const at = `base_model.model.model.layers.0.self_attn.${projection}`;
  const entry = (begin: number, shape: readonly number[]): object => ({
    dtype: 'F32',
    shape,
    data_offsets: [begin, begin + 4 * length],
  });
  const header = JSON.stringify({
    [`${at}.lora_A.weight`]: entry(0, [1, length]),
    [`${at}.lora_B.weight`]: entry(4 * length, [length, 1]),
  });
  const text = new TextEncoder().encode(header);
  const values = Float32Array.from({ length: 2 * length }, (_, i) => size * Math.sin(i + 1));
  const config = { peft_type: 'LORA', r: 1, lora_alpha: 1 };
  return [
    new File([JSON.stringify(config)], 'adapter_config.json', { lastModified: 1 }),
    new File([BigUint64Array.of(BigInt(text.length)), text, values], 'adapter_model.safetensors', { lastModified: 1 }),
  ];
}

/** The same as a source of the page's own, which a worker asks for bytes. */
function adapterSource(projection: string, size: number): ByteSource {
  const files = new Map(adapter(projection, size).map((file) => [file.name, file]));
  return {
    label: 'an adapter',
    size: (name) => Promise.resolve(files.get(name)?.size ?? null),
    async *stream(name, begin, end) {
      yield new Uint8Array(await files.get(name)!.slice(begin, end).arrayBuffer());
    },
  };
}

/** `model` is shared by all cases of one side, in the same order on both; `load` makes another. */
export const cases: Readonly<Record<string, (model: Model, load: Load) => Promise<unknown>>> = {
  'what a model is': async (model) => {
    const { id, side, config, device, endTokens, contextLength, plan, kept, templateText } = model;
    const facts = { side, config, device, endTokens, contextLength, plan, kept, templateText };
    return {
      ...facts,
      path: new URL(id).pathname,
      tokenizer: model.tokenizer?.vocabSize,
      template: model.template?.text,
    };
  },

  'progress of a load': (_, load) => {
    const phases = new Set<LoadProgress['phase']>();
    let bytes = 0;
    const onProgress = (p: LoadProgress): void => {
      phases.add(p.phase);
      bytes = Math.max(bytes, p.loadedBytes);
    };
    return using(load, { onProgress }, async () => ({ phases: [...phases], bytes }));
  },

  'tokens, log-probabilities, routing and summary of a seed': async (model) => {
    const sampled = { temperature: 1, seed: 7, maxTokens: 8, ignoreEnd: true };
    const first = await answer(model, PROMPT, sampled);
    const next = await answer(model, { ids: [...PROMPT.ids, ...idsOf(first).slice(0, 4), 5] }, sampled);
    return { first, next };
  },

  'text: a chat, a stop string, the tokenizer and the template': async (model) => {
    const messages = [{ role: 'user', content: 'abcdefgh' }];
    const told: unknown[] = [];
    const chat = await answer(model, messages, { ...GREEDY, onPrompt: (progress) => told.push(progress) });
    const stopped = await answer(model, 'abc', { ...GREEDY, maxTokens: 40, stop: ['a', 'b', 'c'] });
    const ids = await model.tokenizer!.encode('abcdefgh');
    const [back, count] = [await model.tokenizer!.decode(ids), await model.tokenizer!.count('abcdefgh')];
    return { chat, told, stopped, ids, back, count, rendered: await model.template!.render(messages) };
  },

  'chat completions, biases and vectors': async (model) => {
    const messages = [{ role: 'user' as const, content: 'abcdefgh' }];
    const chunks: unknown[] = [];
    const request = { messages, seed: 3, max_completion_tokens: 5, logprobs: true, top_logprobs: 2 };
    const stream = await model.chat.completions.create({ ...request, stream: true });
    for await (const { choices } of stream) chunks.push(choices);
    const whole = await model.chat.completions.create(request);
    const biased = await answer(model, PROMPT, { ...GREEDY, topLogprobs: 3, logitBias: { 5: 100 } });
    return { chunks, choices: whole.choices, biased, vectors: await model.embed(['abc', 'bcd']) };
  },

  'an abort in mid-answer': async (model) => {
    const controller = new AbortController();
    const reason = new DOMException('enough', 'AbortError');
    let seen = 0;
    const generated = model.generate(PROMPT, { ...GREEDY, maxTokens: 50, signal: controller.signal });
    for (;;) {
      const { value, done } = await generated.next();
      if (done) return { cut: untimed(value), seen, then: await answer(model, PROMPT, GREEDY) };
      if (++seen === 3) controller.abort(reason);
    }
  },

  'a loop that is left early, and the next request': async (model) => {
    const seen: number[] = [];
    for await (const { id } of model.generate(PROMPT, { ...GREEDY, maxTokens: 50 })) {
      seen.push(id);
      if (seen.length === 4) break;
    }
    // How much of it was still in the cache shows how far the first answer went.
    return { seen, next: await answer(model, { ids: [...PROMPT.ids, ...seen, 9] }, GREEDY) };
  },

  'three requests at once': async (model) => {
    const order: number[] = [];
    const ask = async (n: number): Promise<object> => {
      const got = await answer(model, { ids: [n, n + 1, n + 2] }, { ...GREEDY, maxTokens: 4 });
      order.push(n);
      return got;
    };
    return { answers: await Promise.all([ask(1), ask(50), ask(100)]), order };
  },

  'errors of requests': async (model) => {
    const controller = new AbortController();
    controller.abort({ why: 'a value' });
    const { signal } = controller;
    return {
      empty: await failure(answer(model, { ids: [] }, {})),
      id: await failure(answer(model, { ids: [100_000] }, {})),
      temperature: await failure(answer(model, PROMPT, { temperature: -1 })),
      long: await failure(answer(model, { ids: Array.from({ length: 1000 }, () => 1) }, {})),
      role: await failure(answer(model, [{ role: 'a b', content: '' }], {})),
      budget: await failure(model.setGpuBytes(1)),
      bytes: await failure(model.setGpuBytes(-1)),
      logits: await failure(model.logits([-1])),
      aborted: await failure(model.logits([1, 2], { signal })),
      abortedAnswer: (await answer(model, PROMPT, { ...GREEDY, signal })).summary,
      after: await answer(model, PROMPT, GREEDY),
    };
  },

  'errors of loads': async (_, load) => {
    const controller = new AbortController();
    controller.abort(new TypeError('of the page'));
    return {
      budget: await failure(load({ gpuBytes: 1000 })),
      aborted: await failure(load({ signal: controller.signal })),
      policy: await failure(load({ policy: 'no such' })),
    };
  },

  'another budget, evictions, statistics and steps': (_, load) =>
    using(load, { expertsResident: 0.5, mode: 'lockstep', collect: false }, async (model) => {
      const steps: object[] = [];
      const stop = model.onStep((step) => steps.push(untimedStep(step)), 'ids');
      const before = model.plan;
      const first = await answer(model, PROMPT, GREEDY);
      await model.setGpuBytes(before.fullBytes);
      const after = model.plan;
      await model.evict(0, 0);
      await model.evict(1, 3);
      stop();
      const second = await answer(model, { ids: [7, 8, 9] }, GREEDY);
      const { mode, slots, experts, steps: count, layers, storage } = (await model.expertStats())!;
      const stats = { mode, slots, experts, count, storage, layers: layers.map((layer) => layer.experts) };
      const report = await model.cacheReport();
      const places = (await model.expertPlaces()).map((of) => [...of].map((place) => PLACES[place]));
      return {
        places,
        before,
        after,
        first,
        second,
        steps,
        stats,
        bytes: await model.gpuBytes(),
        report,
      };
    }),

  'logits, routing and hidden states': async (model) => {
    const { logits, hidden, routing } = await model.logits(PROMPT.ids, { hidden: true });
    const { dispatches, submits, readbacks } = await model.counters();
    return { logits, hidden, routing, dispatches, submits, readbacks };
  },

  'dispose in mid-answer': async (_, load) => {
    const model = await load();
    const generated = model.generate(PROMPT, { ...GREEDY, maxTokens: 50 });
    const seen = [(await generated.next()).value];
    const waiting = failure(answer(model, PROMPT, GREEDY));
    await model.dispose();
    const [next, waited, later] = [await failure(generated.next()), await waiting, await failure(model.expertStats())];
    await model.dispose();
    return { seen, next, waited, later, request: await failure(answer(model, PROMPT, GREEDY)) };
  },

  'a model that is loaded again': (_, load) =>
    using(load, {}, async (model) => {
      const steps: object[] = [];
      model.onStep((step) => steps.push(untimedStep(step)));
      const before = await answer(model, PROMPT, GREEDY);
      await model.restart();
      const after = await answer(model, PROMPT, GREEDY);
      return { before, after, steps };
    }),

  'adapters: one merged, two of which a request chooses': async (base, load) => {
    const plainly = await answer(base, PROMPT, GREEDY);
    const adapters = { warm: adapter('q_proj', 0.9), cold: adapterSource('o_proj', -0.7) };
    const chosen = await using(load, { adapters }, async (model) => ({
      none: await answer(model, PROMPT, GREEDY),
      warm: await answer(model, PROMPT, { ...GREEDY, adapter: 'warm' }),
      cold: await answer(model, PROMPT, { ...GREEDY, adapter: 'cold' }),
      other: await failure(answer(model, PROMPT, { ...GREEDY, adapter: 'hot' })),
    }));
    const merged = await using(load, { adapter: adapter('q_proj', 0.9) }, (model) => answer(model, PROMPT, GREEDY));
    const logprobs = [plainly, chosen.none, chosen.warm, chosen.cold].map(({ tokens }) => tokens[0]!.logprob);
    const merge = merged.tokens[0]!.logprob;
    if (logprobs[0] !== logprobs[1] || new Set(logprobs).size !== 3 || Math.abs(merge - logprobs[2]!) > 1e-3)
      throw new Error(`adapters: ${String(logprobs)}, merged ${merge}`);
    return { chosen, merged };
  },

  'a listener that throws': async (model) => {
    const stop = model.onStep(() => {
      throw new Error('of a listener');
    });
    const got = await answer(model, PROMPT, GREEDY);
    stop();
    return got;
  },
};
