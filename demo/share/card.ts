/** What a link that was opened holds, and the question whether to ask it. */
import { button, h } from '../dom.ts';
import { settingsText } from '../settings/fields.ts';
import type { Shared } from './link.ts';

export interface SharedChoice {
  readonly onAsk: () => void;
  readonly onEdit: () => void;
  readonly onDismiss: () => void;
}

export function sharedCard({ prompt, system, settings }: Shared, choice: SharedChoice): HTMLElement {
  const asked = settingsText(settings);
  const part = (name: string, value: string): HTMLElement =>
    h('div', {}, h('dt', {}, name), h('dd', { dir: 'auto', class: 'held' }, value));
  return h(
    'section',
    { class: 'card shared', 'aria-labelledby': 'shared-title' },
    h('h1', { id: 'shared-title', tabindex: -1 }, 'This link brings a question'),
    h('p', { class: 'muted' }, 'Nothing has been asked yet. It will be a new conversation.'),
    h(
      'dl',
      { class: 'shared-parts' },
      part('Question', prompt),
      system ? part('System prompt', system) : null,
      asked ? part('Settings', asked) : null,
    ),
    h(
      'div',
      { class: 'actions' },
      button('Ask it', 'primary', choice.onAsk),
      button('Change it first', 'quiet', choice.onEdit),
      button('Dismiss', 'quiet', choice.onDismiss),
    ),
  );
}
