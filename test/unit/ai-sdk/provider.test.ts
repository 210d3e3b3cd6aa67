/** The provider through the package `ai`, over a scripted model. */
import type { LanguageModelV3 } from '@ai-sdk/provider';
import { generateObject, generateText, jsonSchema, Output, stepCountIs, streamText, tool } from 'ai';
import { describe, expect, it } from 'vitest';
import { webmoe } from '../../../src/ai-sdk/index.ts';
import { InvalidRequest } from '../../../src/errors.ts';
import { scriptedModel, SIMULATED, toolCallText } from '../../../src/testing.ts';

/** Fails in tsc when the provider is no LanguageModelV3. */
const providerOf = (model: Parameters<typeof webmoe>[0]): LanguageModelV3 => webmoe(model);

const city = jsonSchema<{ city: string }>({
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
});
const weather = tool({ description: 'Tells it.', inputSchema: city, execute: ({ city: at }) => `Rain in ${at}.` });
const prompt = 'Hello?';

describe('streamText', () => {
  it('streams thoughts and text, and ends with figures', async () => {
    const model = scriptedModel({ answers: ['<think>Hm, hm.</think>\n\nGood day to you.'] });
    const result = streamText({ model: providerOf(model), prompt, system: 'Be kind.', seed: 3, temperature: 0.5 });
    const types: string[] = [];
    for await (const part of result.fullStream) types.push(part.type);
    expect(types.filter((type, i) => type !== types[i - 1])).toEqual([
      'start',
      'start-step',
      'reasoning-start',
      'reasoning-delta',
      'reasoning-end',
      'text-start',
      'text-delta',
      'text-end',
      'finish-step',
      'finish',
    ]);
    expect(await result.text).toBe('Good day to you.');
    expect(await result.reasoningText).toBe('Hm, hm.');
    expect(await result.finishReason).toBe('stop');
    expect(await result.usage).toMatchObject({ outputTokens: 9, inputTokenDetails: { cacheReadTokens: 0 } });
    expect(await result.providerMetadata).toMatchObject({ webmoe: { seed: 3, cachedTokens: 0 } });
    expect(await result.response).toMatchObject({ modelId: 'scripted' });
    expect(model.calls[0]!.prompt).toEqual([
      { role: 'system', content: 'Be kind.' },
      { role: 'user', content: prompt },
    ]);
    expect(model.calls[0]!.options).toMatchObject({ seed: 3, temperature: 0.5 });
  });
  it('gives the routing of each token, when asked', async () => {
    const source = scriptedModel({ answers: ['a b c'] });
    const model = { ...source, chat: source.chat, expertStats: () => ({ hits: new Uint32Array([1, 2]) }) };
    const providerOptions = { webmoe: { moe: { routing: 'ids' } } };
    const result = streamText({ model: providerOf(model), prompt, providerOptions });
    const tokens: unknown[] = [];
    for await (const part of result.fullStream) {
      if (part.type === 'text-delta') tokens.push(...(part.providerMetadata!.webmoe!.tokens as unknown[]));
    }
    expect(tokens).toHaveLength(3);
    const expert = expect.any(Number) as unknown;
    expect(tokens[0]).toMatchObject({ id: expert, routing: [{ ids: [expert, expert] }, { ids: [expert, expert] }] });
    expect(JSON.parse(JSON.stringify(await result.providerMetadata))).toMatchObject({
      webmoe: { moe: { summary: { approximations: [SIMULATED] } }, experts: { hits: [1, 2] } },
    });
  });
  it('aborts', async () => {
    const controller = new AbortController();
    const model = scriptedModel({ answers: ['word '.repeat(50), 'next'], tokenMs: 2 });
    const result = streamText({ model: providerOf(model), prompt, abortSignal: controller.signal });
    const types: string[] = [];
    for await (const part of result.fullStream) {
      types.push(part.type);
      if (types.length === 6) controller.abort();
    }
    expect(types.at(-1)).toBe('abort');
    expect((await generateText({ model: providerOf(model), prompt })).text).toBe('next');
  });
  it('computes what is read', async () => {
    const model = scriptedModel({ answers: ['word '.repeat(50), 'next'] });
    const { stream } = await webmoe(model).doStream({
      prompt: [{ role: 'user', content: [{ type: 'text', text: 'x' }] }],
    });
    const reader = stream.getReader();
    const read = async (): Promise<unknown> => (await reader.read()).value?.type;
    expect([await read(), await read()]).toEqual(['stream-start', 'response-metadata']);
    expect(model.calls).toHaveLength(0);
    expect([await read(), await read()]).toEqual(['text-start', 'text-delta']);
    expect(model.calls).toHaveLength(1);
    await reader.cancel();
    expect((await generateText({ model: providerOf(model), prompt })).text).toBe('next');
  });
});

describe('tools', () => {
  it('are called in a stream, run, and answered', async () => {
    const model = scriptedModel({ answers: [toolCallText('weather', { city: 'Oslo' }), 'It rains.'] });
    const result = streamText({ model: providerOf(model), prompt, tools: { weather }, stopWhen: stepCountIs(2) });
    const types: string[] = [];
    for await (const part of result.fullStream) types.push(part.type);
    expect(types).toEqual(
      expect.arrayContaining(['tool-input-start', 'tool-input-delta', 'tool-input-end', 'tool-call', 'tool-result']),
    );
    expect(await result.text).toBe('It rains.');
    const [first] = await result.steps;
    expect(first!.finishReason).toBe('tool-calls');
    expect(first!.toolCalls[0]).toMatchObject({ toolName: 'weather', input: { city: 'Oslo' } });
    expect(model.calls[1]!.prompt).toMatchObject([
      { role: 'system' },
      { role: 'user', content: prompt },
      { role: 'assistant', content: '<tool_call>\n{"name": "weather", "arguments": {"city":"Oslo"}}\n</tool_call>' },
      { role: 'user', content: '<tool_response>\nRain in Oslo.\n</tool_response>' },
    ]);
  });
  it('are called when required, without a stream', async () => {
    const model = scriptedModel({ answers: [toolCallText('weather', { city: 'Oslo' })] });
    const result = await generateText({ model: providerOf(model), prompt, tools: { weather }, toolChoice: 'required' });
    expect(result.toolResults[0]).toMatchObject({ output: 'Rain in Oslo.' });
    expect(JSON.stringify(model.calls[0]!.options.constraint)).toContain('<tool_call>');
  });
});

describe('objects', () => {
  const schema = {
    type: 'object',
    properties: { city: { type: 'string' } },
    required: ['city'],
    additionalProperties: false,
  };
  it('come from a constraint', async () => {
    const model = scriptedModel({ answers: ['{"city": "Oslo"}', '{"city": "Rome"}'] });
    expect((await generateObject({ model: providerOf(model), prompt, schema: city })).object).toEqual({ city: 'Oslo' });
    expect(JSON.stringify(model.calls[0]!.options.constraint)).toContain(JSON.stringify({ schema }));
    const { output } = await generateText({
      model: providerOf(model),
      prompt,
      output: Output.object({ schema: city }),
    });
    expect(output).toEqual({ city: 'Rome' });
  });
  it('without a schema are any JSON object', async () => {
    const model = scriptedModel({ answers: ['{"a": 1}'], templateText: null });
    await generateObject({ model: providerOf(model), prompt, output: 'no-schema' });
    expect(model.calls[0]!.options.constraint).toEqual({ json: 'object' });
  });
});

describe('what cannot be done', () => {
  it('is a warning for settings', async () => {
    const model = scriptedModel({ answers: ['x'] });
    const { warnings } = await webmoe(model).doGenerate({
      prompt: [{ role: 'user', content: [{ type: 'text', text: 'x' }] }],
      tools: [{ type: 'provider', name: 'search' }],
      headers: { authorization: 'x' },
      providerOptions: { webmoe: { other: 1 } },
      includeRawChunks: true,
    });
    expect(warnings.map((warning) => 'feature' in warning && warning.feature)).toEqual([
      'provider tool search',
      'headers',
      'includeRawChunks',
      'providerOptions.webmoe.other',
    ]);
  });
  it('is an error for files, and for what a request refuses', async () => {
    const model = providerOf(scriptedModel({ answers: ['x'] }));
    const file = { type: 'file' as const, data: 'aGk=', mediaType: 'text/plain' };
    await expect(generateText({ model, messages: [{ role: 'user', content: [file] }] })).rejects.toThrow(
      InvalidRequest,
    );
    const providerOptions = { webmoe: { moe: { x: 1 } } };
    await expect(generateText({ model, prompt, providerOptions })).rejects.toMatchObject({
      details: { field: 'moe.x' },
    });
  });
  it('is an error part in a stream', async () => {
    const error = new Error('gone');
    const model = scriptedModel({ answers: [{ text: 'a b c', error: { afterTokens: 1, error } }] });
    const errors: unknown[] = [];
    await streamText({ model: providerOf(model), prompt, onError: (e) => void errors.push(e.error) }).consumeStream();
    expect(errors).toEqual([error]);
  });
});
