/** What stands in place of messages in a new chat. */
import { button, h } from './dom.ts';

const EXAMPLES = [
  'What is the capital of France?',
  'Write a short poem about the sea.',
  'Explain gravity to a child in two sentences.',
] as const;

export const welcome = (onAsk: (question: string) => void): HTMLElement =>
  h(
    'div',
    { class: 'welcome' },
    h('h1', {}, 'Ask something'),
    h('div', { class: 'examples' }, ...EXAMPLES.map((text) => button(text, 'quiet', () => onAsk(text)))),
  );
