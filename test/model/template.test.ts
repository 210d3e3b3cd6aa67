/** What a request hands to the chat template, what it is told of the prompt and of special tokens, and chat completions over a model. */
import { afterAll, expect, it } from 'vitest';
import { createChat } from '../../src/chat/chat.ts';
import { loadOn } from '../../src/engine/load.ts';
import type { GeneratedToken, GenerateOptions } from '../../src/engine/generation.ts';
import type { Prompt } from '../../src/engine/text.ts';
import { chatSource } from '../support/chat-source.ts';
import { Golden } from '../support/golden.ts';
import { openModelGpu } from '../support/gpu.ts';
import { letters, withLetters } from '../support/letters.ts';
import { filesOf, text, type Files } from '../support/models.ts';
import { memorySource } from '../support/weights.ts';

const gpu = await openModelGpu();
const FOLDER = 'test/fixtures/families/olmoe';
const golden = new Golden(`${FOLDER}/golden.safetensors`);
const first = golden.ids('greedy_ids')[0]!;

const TEMPLATE =
  '{% for t in tools or [] %}{{ t.function.name }}{% endfor %}{% for m in messages %}{{ m.content }}{% endfor %}{% if thoughts %}{{ "p" }}{% endif %}';

/** The letters' tokenizer, in which the first greedy token is a special one. */
function files(): Files {
  const plain = withLetters(filesOf(FOLDER));
  const tokenizer = JSON.parse(new TextDecoder().decode(plain['tokenizer.json'])) as Record<string, unknown>;
  const special = { id: first, content: letters(first), special: true, normalized: false };
  return {
    ...plain,
    'tokenizer.json': text({
      ...tokenizer,
      added_tokens: [{ ...special, single_word: false, lstrip: false, rstrip: false }],
    }),
    'chat_template.jinja': text(TEMPLATE),
  };
}
const model = await loadOn(gpu.share(), memorySource(files()), { contextLength: 128, prefillChunk: 16 });
afterAll(() => model.dispose());

async function run(prompt: Prompt, options: GenerateOptions = {}): Promise<GeneratedToken[]> {
  const tokens: GeneratedToken[] = [];
  for await (const t of model.generate(prompt, { temperature: 0, ignoreEnd: true, maxTokens: 2, ...options }))
    tokens.push(t);
  return tokens;
}
const chat = [{ role: 'user', content: 'abc' }];

it('renders with the tools and variables of the request', async () => {
  const tails = await Promise.all(
    [{}, { template: { tools: [{ function: { name: 'kk' } }], thoughts: true } }].map((o) => run(chat, o)),
  );
  expect(tails.map((tokens) => tokens[0]!.promptTail)).toEqual(['abc', 'kkabcp']);
});

it('tells how the prompt ends, once, and of chats only', async () => {
  const [one, two] = await run([{ role: 'user', content: 'a'.repeat(70) + 'b' }]);
  expect(one!.promptTail).toBe('a'.repeat(63) + 'b');
  expect(two).not.toHaveProperty('promptTail');
  expect((await run('abc'))[0]).not.toHaveProperty('promptTail');
});

it('shows special tokens when asked', async () => {
  const ids = { ids: golden.ids('prompt_ids') };
  const [hidden, shown] = [await run(ids), await run(ids, { keepSpecial: true })];
  expect([hidden[0]!.id, shown[0]!.id]).toEqual([first, first]);
  expect([hidden[0]!.text, shown[0]!.text]).toEqual(['', letters(first)]);
});

it('answers chat completions, with log-probabilities of every token and its bytes', async () => {
  const { choices, usage } = await createChat(chatSource(model)).completions.create({
    messages: [{ role: 'user', content: 'kk' }],
    max_completion_tokens: 4,
    temperature: 0,
    logprobs: true,
    top_logprobs: 2,
  });
  const { content } = choices[0]!.logprobs!;
  expect(content).toHaveLength(usage.completion_tokens);
  const bytes = content!.flatMap((token) => token.bytes ?? []);
  expect(new TextDecoder().decode(Uint8Array.from(bytes))).toBe(choices[0]!.message.content);
  for (const token of content!) {
    expect(token.top_logprobs).toHaveLength(2);
    expect(token.logprob).toBeCloseTo(token.top_logprobs[0]!.logprob, 4);
  }
});

it('answers in several choices that share the prompt', async () => {
  const request = {
    messages: [{ role: 'user', content: 'abcabc' }],
    max_completion_tokens: 4,
    temperature: 1,
  } as const;
  const chat = createChat(chatSource(model));
  const two = await chat.completions.create({ ...request, n: 2, seed: 11 });
  const second = await chat.completions.create({ ...request, seed: 12 });
  expect(two.choices[1]!.message).toEqual(second.choices[0]!.message);
  expect(second.usage.prompt_tokens_details.cached_tokens).toBe(second.usage.prompt_tokens - 1);
});
