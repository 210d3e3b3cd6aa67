/** The list of keys, behind `?`. */
import { h } from './dom.ts';
import { isApple, type Key, type Keys } from './keys.ts';
import { openModal } from './modal.ts';

const NAMES: Readonly<Record<string, string>> = {
  mod: isApple ? '⌘' : 'Ctrl',
  alt: isApple ? '⌥' : 'Alt',
  shift: isApple ? '⇧' : 'Shift',
  ArrowUp: '↑',
  ArrowDown: '↓',
};

const named = (part: string): string => NAMES[part] ?? (part.length === 1 ? part.toUpperCase() : part);

function row({ keys, label }: Key): HTMLElement {
  const parts = keys.split('+').flatMap((part, i) => [...(i ? [' '] : []), h('kbd', {}, named(part))]);
  return h('div', {}, h('dt', {}, label), h('dd', {}, ...parts));
}

export function openKeys(keys: Keys): void {
  const lists = [...keys.groups].map(([group, list]) =>
    h('section', {}, h('h3', {}, group), h('dl', { class: 'keys' }, ...list.map(row))),
  );
  const single = h('input', { type: 'checkbox', id: 'single-keys' });
  single.checked = keys.singleKeys;
  single.addEventListener('change', () => (keys.singleKeys = single.checked));
  openModal(
    'Keys',
    ...lists,
    h(
      'p',
      { class: 'check small' },
      single,
      h('label', { for: 'single-keys' }, 'Keys of a single character, such as ? and /'),
    ),
  );
}
