/** `chat.completions.create` over a scripted model: what comes back, what is asked of the model, what is refused. */
import { describe, expect, it } from 'vitest';
import type { ChatCompletionChunk, ChatRequest, Message, Tool } from '../../../src/chat/types.ts';
import { createChat } from '../../../src/chat/chat.ts';
import { InvalidRequest, SourceError } from '../../../src/errors.ts';
import { scriptedModel, SIMULATED, toolCallText, type ScriptedOptions } from '../../../src/testing.ts';

const messages: Message[] = [{ role: 'user', content: 'Hello?' }];
const weather: Tool = {
  type: 'function',
  function: {
    name: 'weather',
    description: 'Tells it.',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};
const script = (answers: ScriptedOptions['answers'], more: Partial<ScriptedOptions> = {}) =>
  scriptedModel({ answers, ...more });

async function stream(
  model: ReturnType<typeof script>,
  request: Partial<ChatRequest> = {},
): Promise<ChatCompletionChunk[]> {
  const chunks: ChatCompletionChunk[] = [];
  for await (const chunk of await model.chat.completions.create({ messages, ...request, stream: true }))
    chunks.push(chunk);
  return chunks;
}
const contents = (chunks: readonly ChatCompletionChunk[]): string =>
  chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');

describe('an answer', () => {
  it('as a whole', async () => {
    const completion = await script(['Good day to you.']).chat.completions.create({ messages, seed: 7 });
    expect(completion).toMatchObject({
      object: 'chat.completion',
      model: 'scripted',
      choices: [
        {
          index: 0,
          finish_reason: 'stop',
          logprobs: null,
          seed: 7,
          message: { role: 'assistant', content: 'Good day to you.', refusal: null },
        },
      ],
    });
    expect(completion.choices[0]).not.toHaveProperty('moe');
    expect(completion.choices[0]!.message).not.toHaveProperty('tool_calls');
    const { usage } = completion;
    expect(usage.total_tokens).toBe(usage.prompt_tokens + usage.completion_tokens);
    expect(usage.completion_tokens).toBe(4);
    expect(usage.prompt_tokens_details.cached_tokens).toBe(0);
  });
  it('as a stream, with usage at the end when asked', async () => {
    const chunks = await stream(script(['Good day to you.']), { stream_options: { include_usage: true } });
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(chunks[0]!.choices).toEqual([{ index: 0, delta: { role: 'assistant' }, finish_reason: null }]);
    expect(contents(chunks)).toBe('Good day to you.');
    expect(chunks.at(-2)!.choices[0]).toMatchObject({ delta: {}, finish_reason: 'stop' });
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 4 } });
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
    expect((await stream(script(['x']))).every((chunk) => !('usage' in chunk))).toBe(true);
  });
  it('that is cut says so', async () => {
    const { choices } = await script(['a b c d']).chat.completions.create({
      messages,
      max_tokens: 9,
      max_completion_tokens: 2,
    });
    expect(choices[0]).toMatchObject({ finish_reason: 'length', message: { content: 'a b' } });
  });
  it('ends before a stop string', async () => {
    const { choices } = await script(['one two three']).chat.completions.create({ messages, stop: ' thr' });
    expect(choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: 'one two' } });
  });
  it('in several choices, one after another, each with its seed', async () => {
    const model = script(['A a', 'B b']);
    const chunks = await stream(model, { n: 2, seed: 5 });
    const order = chunks.map(({ choices }) => choices[0]!.index);
    expect(order).toEqual([...order].sort());
    expect(model.calls.map(({ options }) => options.seed)).toEqual([5, 6]);
    const whole = await script(['A a', 'B b']).chat.completions.create({ messages, n: 2, seed: 5 });
    expect(whole.choices.map(({ message, seed }) => [message.content, seed])).toEqual([
      ['A a', 5],
      ['B b', 6],
    ]);
    expect(whole.usage.completion_tokens).toBe(4);
  });
  it('with log-probabilities of every token', async () => {
    const model = script(['ab cd']);
    const { choices } = await model.chat.completions.create({ messages, logprobs: true, top_logprobs: 3 });
    const content = choices[0]!.logprobs!.content!;
    expect(content.map(({ token }) => token)).toEqual(['ab', ' cd']);
    expect(content[1]!.bytes).toEqual([32, 99, 100]);
    expect(content.every((t) => t.logprob <= 0 && t.top_logprobs.length === 3)).toBe(true);
    expect(model.calls[0]!.options.topLogprobs).toBe(3);
  });
  it('with routing, every token once', async () => {
    const request = { moe: { routing: 'ids' }, seed: 3 } as const;
    const { choices } = await script(['a b c']).chat.completions.create({ messages, ...request });
    expect(choices[0]!.moe!.tokens).toHaveLength(3);
    expect(choices[0]!.moe!.tokens[0]!.routing[0]!.ids).toHaveLength(2);
    expect(choices[0]!.moe!.summary!.approximations).toEqual([SIMULATED]);
    const chunks = await stream(script(['a b c']), request);
    expect(chunks.flatMap((chunk) => chunk.choices[0]!.moe?.tokens ?? [])).toEqual(choices[0]!.moe!.tokens);
  });
});

it('asks the model for what the request says', async () => {
  const model = script(['x']);
  await model.chat.completions.create({
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'Hel' },
          { type: 'text', text: 'lo?' },
        ],
      },
    ],
    temperature: 0.5,
    top_p: 0.9,
    top_k: 40,
    min_p: 0.05,
    frequency_penalty: 0.1,
    presence_penalty: 0.2,
    repetition_penalty: 1.1,
    logit_bias: { 17: -100 },
    seed: 1,
    stop: ['a', 'b'],
    max_completion_tokens: 5,
    reasoning_effort: 'low',
    chat_template_kwargs: { enable_thinking: false },
    moe: {
      routing: 'counts',
      promptRouting: true,
      skipCache: true,
      speculate: { most: 2 },
      interventions: { mask: [[0, 1]] },
    },
    adapter: 'pirate',
    user: 'u',
    metadata: { a: 'b' },
    model: 'whatever',
  });
  const { signal, ...options } = model.calls[0]!.options;
  expect(signal).toBeInstanceOf(AbortSignal);
  expect(model.calls[0]!.prompt).toEqual([{ role: 'user', content: 'Hello?' }]);
  expect(options).toEqual({
    temperature: 0.5,
    topP: 0.9,
    topK: 40,
    minP: 0.05,
    frequencyPenalty: 0.1,
    presencePenalty: 0.2,
    repetitionPenalty: 1.1,
    logitBias: { 17: -100 },
    seed: 1,
    stop: ['a', 'b'],
    maxTokens: 5,
    keepSpecial: true,
    template: { reasoning_effort: 'low', enable_thinking: false },
    routing: 'counts',
    promptRouting: true,
    skipCache: true,
    speculate: { most: 2 },
    interventions: { mask: [[0, 1]] },
    adapter: 'pirate',
  });
});

it('asks for nothing that the request leaves out', async () => {
  const model = script(['x'], { templateText: null });
  await model.chat.completions.create({
    messages,
    temperature: null,
    stop: null,
    logit_bias: null,
    tools: null,
    moe: null,
  });
  expect(Object.keys(model.calls[0]!.options).sort()).toEqual(['seed', 'signal']);
});

it('goes on with the last message where that is asked for, as vLLM has it', async () => {
  const model = script([' world.', ' world.', 'Hi.']);
  const begun: Message[] = [...messages, { role: 'assistant', content: 'Hello' }];
  for (const more of [{}, { add_generation_prompt: false }])
    await model.chat.completions.create({ messages: begun, continue_final_message: true, ...more });
  await model.chat.completions.create({ messages, continue_final_message: false, add_generation_prompt: true });
  expect(model.calls.map(({ options }) => options.continueFinal)).toEqual([true, true, undefined]);
  expect(model.calls[0]!.prompt).toEqual(begun);
});

describe('what is refused', () => {
  it.each<[string, object]>([
    ['service_tier', { service_tier: 'auto' }],
    ['functions', { functions: [] }],
    ['messages', { messages: [] }],
    ['messages[0].role', { messages: [{ role: 'function', content: '' }] }],
    ['messages[0].content', { messages: [{ role: 'user' }] }],
    ['messages[0].content[0].type', { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }],
    ['messages[0].audio', { messages: [{ role: 'assistant', content: '', audio: {} }] }],
    ['messages[0].tool_call_id', { messages: [{ role: 'tool', content: '' }] }],
    ['temperature', { temperature: '1' }],
    ['seed', { seed: 0.5 }],
    ['n', { n: 0 }],
    ['max_completion_tokens', { max_completion_tokens: 0 }],
    ['top_logprobs', { top_logprobs: 2 }],
    ['top_logprobs', { logprobs: true, top_logprobs: 21 }],
    ['logit_bias', { logit_bias: { a: 1 } }],
    ['stop', { stop: [1] }],
    ['tools[0].type', { tools: [{ type: 'custom' }] }],
    ['tools[0].function.name', { tools: [{ type: 'function', function: { name: 'a b' } }] }],
    ['tools', { tools: [weather, weather] }],
    ['tool_choice', { tool_choice: 'required' }],
    ['tool_choice', { tools: [weather], tool_choice: { type: 'function', function: { name: 'x' } } }],
    ['response_format.type', { response_format: { type: 'xml' } }],
    ['response_format.json_schema.schema', { response_format: { type: 'json_schema', json_schema: { name: 'a' } } }],
    ['stream_options.x', { stream_options: { x: 1 } }],
    ['moe.x', { moe: { x: 1 } }],
    ['continue_final_message', { continue_final_message: 'yes' }],
    ['add_generation_prompt', { continue_final_message: true, add_generation_prompt: true }],
    ['add_generation_prompt', { add_generation_prompt: false }],
  ])('%s', async (field, request) => {
    const model = script(['x']);
    const error: unknown = await model.chat.completions.create({ messages, ...request } as ChatRequest).then(
      () => null,
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(InvalidRequest);
    expect(error).toMatchObject({ details: { field } });
    expect((error as Error).message).toContain(field);
    expect(model.calls).toHaveLength(0);
  });
  it('tools of a template whose calls cannot be read', async () => {
    const model = script(['x'], { templateText: '{{ tools }}<|python_tag|>' });
    await expect(model.chat.completions.create({ messages, tools: [weather] })).rejects.toMatchObject({
      details: { field: 'tools' },
    });
  });
});

describe('tools', () => {
  it('are called, and told of in a system message where the template knows none', async () => {
    const model = script([`One moment.\n${toolCallText('weather', { city: 'Oslo' })}`]);
    const { choices } = await model.chat.completions.create({ messages, tools: [weather] });
    expect(choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: {
        content: 'One moment.',
        tool_calls: [{ type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } }],
      },
    });
    expect(choices[0]!.message.tool_calls![0]!.id).toMatch(/^[A-Za-z0-9]{9}$/);
    const prompt = model.calls[0]!.prompt as { role: string; content: string }[];
    expect(prompt.map(({ role }) => role)).toEqual(['system', 'user']);
    expect(prompt[0]!.content).toContain('"name":"weather"');
    expect(model.calls[0]!.options).not.toHaveProperty('template');
  });
  it('go to the template that knows them', async () => {
    const model = script(['x'], { templateText: '{{ tools }}<tool_call>' });
    await model.chat.completions.create({ messages, tools: [weather] });
    expect(model.calls[0]!.options).toMatchObject({ template: { tools: [weather] }, keepSpecial: true });
    expect(model.calls[0]!.prompt).toEqual(messages);
  });
  it('stream: the name first, then arguments while they are written', async () => {
    const chunks = await stream(script([toolCallText('weather', { city: 'a long name of a town' })]), {
      tools: [weather],
    });
    const deltas = chunks.flatMap((chunk) => chunk.choices[0]!.delta.tool_calls ?? []);
    expect(deltas[0]).toMatchObject({ index: 0, type: 'function', function: { name: 'weather', arguments: '' } });
    expect(deltas.length).toBeGreaterThan(3);
    expect(deltas.map((delta) => delta.function!.arguments).join('')).toBe('{"city":"a long name of a town"}');
    expect(chunks.at(-1)!.choices[0]!.finish_reason).toBe('tool_calls');
  });
  it('are called once where one call at a time is wanted', async () => {
    const two = `${toolCallText('weather', { city: 'A' })}\n${toolCallText('weather', { city: 'B' })} and so on and on`;
    const request = { messages, tools: [weather] };
    const both = await script([two]).chat.completions.create(request);
    expect(both.choices[0]!.message.tool_calls).toHaveLength(2);
    const one = await script([two]).chat.completions.create({ ...request, parallel_tool_calls: false });
    expect(one.choices[0]).toMatchObject({ finish_reason: 'tool_calls', message: { content: null } });
    expect(one.choices[0]!.message.tool_calls).toHaveLength(1);
    expect(one.usage.completion_tokens).toBeLessThan(both.usage.completion_tokens);
  });
  it('come back as calls and results: as text, or as the template wants them', async () => {
    const turns: Message[] = [
      { role: 'developer', content: 'Be brief.' },
      ...messages,
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'abcdefghi', type: 'function', function: { name: 'weather', arguments: '{"city":"A"}' } }],
      },
      { role: 'tool', content: 'Rain', tool_call_id: 'abcdefghi' },
    ];
    const plain = script(['x']);
    await plain.chat.completions.create({ messages: turns });
    expect(plain.calls[0]!.prompt).toEqual([
      { role: 'system', content: 'Be brief.' },
      ...messages,
      { role: 'assistant', content: '<tool_call>\n{"name": "weather", "arguments": {"city":"A"}}\n</tool_call>' },
      { role: 'user', content: '<tool_response>\nRain\n</tool_response>' },
    ]);
    const own = script(['x'], { templateText: '{{ tools }}<tool_call>' });
    await own.chat.completions.create({ messages: turns });
    expect((own.calls[0]!.prompt as object[]).slice(2)).toEqual([
      {
        role: 'assistant',
        content: '',
        tool_calls: [{ id: 'abcdefghi', type: 'function', function: { name: 'weather', arguments: { city: 'A' } } }],
      },
      { role: 'tool', content: 'Rain', tool_call_id: 'abcdefghi', name: 'weather' },
    ]);
    const textual = script(['x'], { templateText: '{{ tools }}<｜tool▁calls▁begin｜>' });
    await textual.chat.completions.create({ messages: turns });
    expect((textual.calls[0]!.prompt as object[])[2]).toMatchObject({
      content: null,
      tool_calls: [{ function: { arguments: '{"city":"A"}' } }],
    });
  });
});

describe('constraints', () => {
  const CALL = {
    sequence: [
      '<tool_call>\n',
      { sequence: ['{"name": "weather", "arguments": ', { schema: weather.function.parameters }, '}'] },
      '\n</tool_call>',
    ],
  };
  const asked = async (request: Partial<ChatRequest>, templateText: string | null = null): Promise<unknown> => {
    const model = script(['{}'], { templateText });
    await model.chat.completions.create({ messages, ...request });
    return model.calls[0]!.options.constraint;
  };
  it('follow the format', async () => {
    const schema = { type: 'object' };
    expect(await asked({ response_format: { type: 'text' } })).toBeUndefined();
    expect(await asked({ response_format: { type: 'json_object' } })).toEqual({ json: 'object' });
    const format = { type: 'json_schema', json_schema: { name: 'a', schema } } as const;
    expect(await asked({ response_format: format })).toEqual({ schema });
    expect(await asked({ response_format: format, tools: [weather] })).toEqual({ anyOf: [{ schema }, CALL] });
    expect(await asked({ response_format: format }, '</think>')).toEqual({
      anyOf: [{ schema }, { sequence: ['</think>\n\n', { schema }] }],
    });
    expect(await asked({ response_format: format }, '<|channel|><|message|>')).toEqual({
      sequence: ['<|channel|>final<|message|>', { schema }],
    });
  });
  it('force a call', async () => {
    const other: Tool = { type: 'function', function: { name: 'now' } };
    const tools = [weather, other];
    expect(await asked({ tools })).toBeUndefined();
    expect(await asked({ tools, tool_choice: { type: 'function', function: { name: 'weather' } } })).toEqual(CALL);
    expect(await asked({ tools, tool_choice: 'required' })).toMatchObject({ anyOf: [CALL, {}] });
  });
});

describe('thoughts', () => {
  it('are told apart, also when the template opens them', async () => {
    for (const reply of [
      '<think>\nHm.\n</think>\n\nYes.',
      { text: 'Hm.\n</think>\n\nYes.', promptTail: 'assistant\n<think>\n' },
    ]) {
      const { choices } = await script([reply]).chat.completions.create({ messages });
      expect(choices[0]!.message).toMatchObject({ content: 'Yes.', reasoning_content: 'Hm.' });
      const chunks = await stream(script([reply]));
      expect(chunks.map((chunk) => chunk.choices[0]!.delta.reasoning_content ?? '').join('')).toBe('Hm.');
    }
  });
  it('go back to the template', async () => {
    const model = script(['x']);
    const turns: Message[] = [
      ...messages,
      { role: 'assistant', content: 'Yes.', reasoning_content: 'Hm.' },
      ...messages,
    ];
    await model.chat.completions.create({ messages: turns });
    expect((model.calls[0]!.prompt as object[])[1]).toEqual({
      role: 'assistant',
      content: 'Yes.',
      reasoning_content: 'Hm.',
    });
  });
});

describe('a stream', () => {
  const long = 'word '.repeat(50);
  it('computes what is pulled', async () => {
    const model = script([long]);
    const chunks = await model.chat.completions.create({ messages, stream: true });
    expect(model.calls).toHaveLength(0);
    const iterator = chunks[Symbol.asyncIterator]();
    await iterator.next();
    await iterator.next();
    expect(model.calls).toHaveLength(1);
    await iterator.return!();
  });
  it('that is left early leaves the model to the next request', async () => {
    const model = script([long, 'next']);
    for await (const chunk of await model.chat.completions.create({ messages, stream: true })) {
      if (chunk.choices[0]!.delta.content) break;
    }
    expect((await model.chat.completions.create({ messages })).choices[0]!.message.content).toBe('next');
  });
  it('that is aborted by itself ends quietly, without a finish', async () => {
    const model = script([long, 'next'], { tokenMs: 1 });
    const chunks = await model.chat.completions.create({ messages, stream: true });
    const seen: ChatCompletionChunk[] = [];
    for await (const chunk of chunks) {
      seen.push(chunk);
      if (seen.length === 3) chunks.abort();
    }
    expect(seen).toHaveLength(3);
    expect((await model.chat.completions.create({ messages })).choices[0]!.message.content).toBe('next');
  });
  it('whose signal aborts throws the reason', async () => {
    const reason = new Error('enough');
    for (const streaming of [true, false]) {
      const controller = new AbortController();
      const model = script([long], { tokenMs: 5 });
      const run = async (): Promise<void> => {
        const answer = await model.chat.completions.create(
          { messages, stream: streaming },
          { signal: controller.signal },
        );
        if (Symbol.asyncIterator in answer) for await (const chunk of answer) expect(chunk.choices).toHaveLength(1);
      };
      setTimeout(() => controller.abort(reason), 30);
      await expect(run()).rejects.toBe(reason);
      await expect(model.chat.completions.create({ messages }, { signal: controller.signal })).rejects.toBe(reason);
    }
  });
  it('throws the reason itself, or ends quietly, where a model throws a copy of it', async () => {
    const chat = createChat({
      id: 'a',
      contextLength: 1,
      templateText: null,
      async *generate(_prompt, options) {
        await new Promise((resolve) => options!.signal!.addEventListener('abort', resolve));
        yield* [];
        throw new Error('a copy');
      },
    });
    const reason = new Error('enough');
    const controller = new AbortController();
    const [streamed, stopped] = await Promise.all([
      chat.completions.create({ messages, stream: true }, { signal: controller.signal }),
      chat.completions.create({ messages, stream: true }),
    ]);
    const whole = chat.completions.create({ messages }, { signal: controller.signal });
    const read = async (from: AsyncIterable<ChatCompletionChunk>): Promise<number> => {
      let n = 0;
      for await (const chunk of from) n += chunk.choices.length;
      return n;
    };
    const reading = read(streamed);
    const quiet = read(stopped);
    setTimeout(() => {
      controller.abort(reason);
      stopped.abort();
    }, 10);
    await expect(reading).rejects.toBe(reason);
    await expect(whole).rejects.toBe(reason);
    expect(await quiet).toBe(1);
  });
  it('is read once', async () => {
    const chunks = await script(['x']).chat.completions.create({ messages, stream: true });
    chunks[Symbol.asyncIterator]();
    expect(() => chunks[Symbol.asyncIterator]()).toThrow(InvalidRequest);
  });
  it("ends with the model's errors", async () => {
    const error = new SourceError('gone');
    const run = stream(script([{ text: long, error: { afterTokens: 2, error } }]));
    await expect(run).rejects.toBe(error);
    await expect(script([error]).chat.completions.create({ messages })).rejects.toBe(error);
  });
});
