/** The AI SDK and chat completions on the model that comes with the repository. */
import { generateObject, generateText, jsonSchema, streamText, tool } from 'ai';
import { afterAll, expect, it } from 'vitest';
import { webmoe } from '../../src/ai-sdk/index.ts';
import { loadOn } from '../../src/engine/load.ts';
import { pathSource } from '../../src/weights/node-source.ts';
import { chatSource } from '../support/chat-source.ts';
import { openModelGpu, pretend } from '../support/gpu.ts';
import { SHIPPED } from '../support/models.ts';

const timeout = 5 * 60_000;
const gpu = await openModelGpu();
const model = await loadOn(pretend(gpu, true), pathSource(SHIPPED), { contextLength: 512, prefillChunk: 64 });
afterAll(() => model.dispose());
const source = chatSource(model, 'smolmoe');
const provider = webmoe(source);

const strict = <T>(properties: Record<string, object>): ReturnType<typeof jsonSchema<T>> =>
  jsonSchema<T>({ type: 'object', properties, required: Object.keys(properties), additionalProperties: false });

it('streamText says what generate says, with its routing', { timeout }, async () => {
  const prompt = 'What is the capital of France?';
  const options = { maxOutputTokens: 8, temperature: 0, providerOptions: { webmoe: { moe: {} } } };
  const result = streamText({ model: provider, prompt, ...options });
  const seen: unknown[] = [];
  for await (const part of result.fullStream) {
    if (part.type === 'text-delta') seen.push(...(part.providerMetadata!.webmoe!.tokens as unknown[]));
  }
  let text = '';
  const said: unknown[] = [];
  for await (const token of model.generate([{ role: 'user', content: prompt }], { maxTokens: 8, temperature: 0 })) {
    text += token.text;
    said.push({ id: token.id, routing: token.routing.map(({ ids }) => ({ ids: [...ids] })) });
  }
  expect(await result.text).toBe(text);
  expect(seen.length).toBeGreaterThan(3);
  expect(seen).toMatchObject(said.slice(0, seen.length));
});

it('generateObject gives an object of the schema at temperature 1', { timeout }, async () => {
  const schema = strict<{ colour: string; count: number }>({
    colour: { type: 'string', enum: ['red', 'green', 'blue'] },
    count: { type: 'integer', minimum: 0, maximum: 99 },
  });
  const { object } = await generateObject({
    model: provider,
    prompt: 'Pick one.',
    schema,
    temperature: 1,
    seed: 1,
    maxOutputTokens: 40,
  });
  expect(['red', 'green', 'blue']).toContain(object.colour);
  expect(Number.isInteger(object.count)).toBe(true);
});

it('a required tool is called with arguments of its schema', { timeout }, async () => {
  const inputSchema = strict<{ city: string }>({ city: { type: 'string', enum: ['Paris', 'Rome'] } });
  const weather = tool({
    description: 'The weather in a city.',
    inputSchema,
    execute: ({ city }) => `Rain in ${city}.`,
  });
  const result = await generateText({
    model: provider,
    prompt: 'How is the weather in Rome?',
    tools: { weather },
    toolChoice: 'required',
    temperature: 0,
    maxOutputTokens: 60,
  });
  expect(result.finishReason).toBe('tool-calls');
  expect(result.toolResults[0]!.output).toMatch(/^Rain in (Paris|Rome)\.$/);
});
