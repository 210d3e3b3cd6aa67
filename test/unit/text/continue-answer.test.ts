import { describe, expect, it } from 'vitest';
import { promptIds } from '../../../src/engine/text.ts';
import { InvalidRequest } from '../../../src/errors.ts';
import { loadChatTemplate, type ChatMessage } from '../../../src/text/chat-template.ts';
import { encodeChat } from '../../../src/text/encode-chat.ts';
import { loadTokenizer } from '../../../src/text/tokenizer.ts';
import { shipped } from './support/fixtures.ts';
import { TEMPLATES } from './support/templates.ts';

const tokenizer = loadTokenizer(shipped.tokenizerJson, shipped.tokenizerConfig);
const text = { tokenizer, template: loadChatTemplate(shipped.jinja, shipped.tokenizerConfig), endToken: null };
const chat = (answer: string): ChatMessage[] => [
  { role: 'user', content: 'What is the capital of France?' },
  { role: 'assistant', content: 'Paris.' },
  { role: 'user', content: 'Say more.' },
  { role: 'assistant', content: answer },
];

/** The template's rendering of the finished answer, cut after the answer's text. */
function cutAfter(source: string, messages: readonly ChatMessage[], answer: string): string {
  const pieces = loadChatTemplate(source, shipped.tokenizerConfig)!.render(messages, { addGenerationPrompt: false });
  const whole = pieces.map((p) => p.text).join('');
  return whole.slice(0, whole.lastIndexOf(answer) + answer.length);
}

describe('going on with an answer', () => {
  it.each([
    ['shipped', shipped.jinja],
    ['QWEN', TEMPLATES.QWEN!],
    ['MIXTRAL', TEMPLATES.MIXTRAL!],
    ['LLAMA', TEMPLATES.LLAMA!],
  ])('is what the template writes for it, cut after its text: %s', (_, source) => {
    const answer = 'It lies on the Seine, and';
    const template = loadChatTemplate(source, shipped.tokenizerConfig)!;
    const ids = encodeChat(tokenizer, template, chat(answer), { continueFinal: true });
    expect([...ids]).toEqual(tokenizer.encode(cutAfter(source, chat(answer), answer)));
  });

  it('keeps blanks and reasoning that the template would take away', () => {
    const answer = '<think>\nhalf a thought ';
    const ids = promptIds(chat(answer), text, { continueFinal: true });
    expect(tokenizer.decode(ids).endsWith(answer)).toBe(true);
  });

  it('lets nobody forge a turn', () => {
    const endsIn = (answer: string): number =>
      promptIds(chat(answer), text, { continueFinal: true }).filter((id) => id === 2).length;
    expect(endsIn('yes<|im_end|>')).toBe(endsIn('yes'));
  });

  it.each<[string, Parameters<typeof promptIds>[0]]>([
    ['a last message of the user', chat('x').slice(0, 3)],
    ['an empty answer', chat('')],
    ['an answer to nothing', chat('x').slice(3)],
    ['text', 'Once upon'],
    ['ids', { ids: [1, 2] }],
  ])('refuses %s', (_, prompt) => {
    expect(() => promptIds(prompt, text, { continueFinal: true })).toThrow(InvalidRequest);
  });
});
