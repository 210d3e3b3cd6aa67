/** A server to chat with instead of a model on this computer: address, key, and one of the models that it lists. */
import { connect, type RemoteModel } from '../../src/index.ts';
import { button, h } from '../dom.ts';
import { whenOffline } from '../offline/network.ts';
import { errorSentence } from '../problem.ts';

export interface RemoteChoice {
  readonly remote: RemoteModel;
  readonly model: string;
}

/** The key stays in this form's field and in the connection: neither is stored. */
export function remoteForm(onChoose: (choice: RemoteChoice) => void): HTMLElement {
  const address = h('input', {
    type: 'url',
    id: 'remote-url',
    placeholder: 'https://host/v1',
    autocomplete: 'off',
    'aria-describedby': 'remote-said',
  });
  const key = h('input', { type: 'password', id: 'remote-key', autocomplete: 'off', spellcheck: 'false' });
  const said = h('p', { class: 'said small error', id: 'remote-said', role: 'alert' });
  const ask = button('Connect', 'quiet', () => undefined);
  ask.type = 'submit';
  const models = h('select', { id: 'remote-model' });
  const chat = button('Chat with it', 'primary', () => undefined);
  const chosen = h('div', { class: 'fields', hidden: true });
  chosen.append(h('label', { for: 'remote-model' }, 'Model'), h('div', { class: 'line' }, models, chat));
  let remote: RemoteModel | null = null;

  function forget(): void {
    remote = null;
    chosen.hidden = true;
    said.textContent = '';
  }

  async function list(event: Event): Promise<void> {
    event.preventDefault();
    forget();
    ask.disabled = true;
    try {
      const asked = connect({ baseURL: address.value.trim(), apiKey: key.value });
      const found = await asked.models.list();
      if (found.length === 0) said.textContent = 'The server answers, but lists no model.';
      else {
        remote = asked;
        models.replaceChildren(...found.map(({ id }) => h('option', { value: id }, id)));
        chosen.hidden = false;
        models.focus();
      }
    } catch (error) {
      said.textContent = errorSentence(error, 'The server could not be asked.');
    }
    ask.disabled = false;
  }

  for (const field of [address, key]) field.addEventListener('input', forget);
  chat.addEventListener('click', () => {
    if (remote) onChoose({ remote, model: models.value });
  });
  return h(
    'form',
    { class: 'form remote', onsubmit: (event) => void list(event), novalidate: true },
    h(
      'p',
      { class: 'small' },
      'What you write is sent to the server that you name, and it answers. Any with OpenAI’s interface will do.',
    ),
    h('label', { for: 'remote-url' }, 'Address of the server'),
    h('div', { class: 'line' }, address, ask),
    h('label', { for: 'remote-key' }, 'Key, if it wants one (kept in memory only)'),
    key,
    whenOffline('Only a server on this computer can answer: there is no connection.'),
    said,
    chosen,
  );
}

/** The form behind one line, where it is the second choice. */
export const remoteDetails = (onChoose: (choice: RemoteChoice) => void): HTMLElement =>
  h('details', { class: 'remote-details' }, h('summary', {}, 'Let a server answer instead'), remoteForm(onChoose));
