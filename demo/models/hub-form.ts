/** Any model by its id or address, with the token and the Hub for those that need another. */
import { button, h } from '../dom.ts';
import { whenOffline } from '../offline/network.ts';
import type { Access } from './access.ts';
import { DEFAULT_ENDPOINT, type Choice } from './choice.ts';
import { readTyped } from './typed.ts';

function accessFields(access: Access): { element: HTMLElement; read: () => string | null } {
  const token = h('input', { type: 'password', id: 'hub-token', autocomplete: 'off', spellcheck: 'false' });
  const keep = h('input', { type: 'checkbox', id: 'hub-keep' });
  const endpoint = h('input', { type: 'url', id: 'hub-endpoint', placeholder: DEFAULT_ENDPOINT, autocomplete: 'off' });
  token.value = access.token ?? '';
  keep.checked = access.isKept;
  endpoint.value = access.endpoint === DEFAULT_ENDPOINT ? '' : access.endpoint;
  const element = h(
    'details',
    { class: 'access' },
    h('summary', {}, 'Access token, another Hub'),
    h('div', { class: 'fields' },
    h('label', { for: 'hub-token' }, 'Access token, for models whose terms have to be accepted'),
    token,
    h('p', { class: 'check' }, keep, h('label', { for: 'hub-keep' }, 'Keep it until this tab is closed')),
    h('p', { class: 'muted small' }, 'It is sent to that Hub only, and never written to disk unless you tick the box.'),
    h('label', { for: 'hub-endpoint' }, 'Address of the Hub'),
    endpoint,
    ),
  );
  const read = (): string | null => {
    const typed = token.value;
    const before = access.endpoint;
    const isNewToken = typed !== (access.token ?? '');
    if (!access.setEndpoint(endpoint.value)) return 'The address of the Hub must begin with https:// and have no query.';
    // Of the Hub before: it is not for the new one unless it was typed now.
    if (access.endpoint !== before && !isNewToken) token.value = '';
    access.setToken(token.value, keep.checked);
    return null;
  };
  return { element, read };
}

export function hubForm(access: Access, onChoose: (choice: Choice) => void): HTMLElement {
  const input = h('input', {
    type: 'text',
    id: 'hub-id',
    placeholder: 'org/name or https://…',
    autocomplete: 'off',
    autocapitalize: 'off',
    spellcheck: 'false',
    'aria-describedby': 'hub-error',
  });
  const error = h('p', { class: 'said small error', id: 'hub-error', role: 'alert' });
  const fields = accessFields(access);
  const submit = button('Look at it', 'quiet', () => undefined);
  submit.type = 'submit';
  const say = (text: string): void => {
    error.textContent = text;
    input.toggleAttribute('aria-invalid', text !== '');
  };
  const look = (event: Event): void => {
    event.preventDefault();
    const wrong = fields.read();
    const found = wrong ?? readTyped(input.value, access);
    if (typeof found !== 'string') return onChoose(found);
    say(found);
    if (wrong === null) input.focus();
  };
  input.addEventListener('input', () => say(''));
  return h(
    'form',
    { class: 'hub-form', onsubmit: look, novalidate: true },
    h('label', { for: 'hub-id' }, 'Any model on the Hub, or the address of a folder'),
    h('div', { class: 'line' }, input, submit),
    whenOffline('A Hub needs a connection, and there is none.'),
    error,
    fields.element,
  );
}
