/** Models that earlier visits left on this computer, to be opened again or to go on with. */
import type { ModelStorage, StoredModel } from '../../src/index.ts';
import { button, h } from '../dom.ts';
import { factsOf, isComplete } from '../storage/words.ts';
import { DEFAULT_ENDPOINT, hubChoice, keyOf, urlChoice, type Choice, type HubAccess } from './choice.ts';

const MOST = 5;
const withoutSlash = (url: string): string => url.replace(/\/+$/, '');

/** null for a folder: the visitor has to pick it again. */
export function choiceOf({ source }: StoredModel, access: HubAccess): Choice | null {
  if (!/^https?:/.test(source) || !URL.canParse(source)) return null;
  for (const endpoint of [DEFAULT_ENDPOINT, access.endpoint]) {
    const id = source.startsWith(`${endpoint}/`) ? source.slice(endpoint.length + 1) : '';
    const token = endpoint === access.endpoint ? access.token : null;
    if (/^[\w.-]+\/[\w.-]+(@[\w./+-]+)?$/.test(id)) return hubChoice(id, { endpoint, token });
  }
  return urlChoice(source);
}

/** What is kept of a choice, in the precision that it would load in. */
export const keptOf = (
  models: readonly StoredModel[],
  choice: Choice,
  precision: string,
): StoredModel | undefined =>
  models.find((m) => withoutSlash(m.source) === withoutSlash(keyOf(choice)) && m.precision === precision);

function row(model: StoredModel, choice: Choice, onChoose: (choice: Choice) => void): HTMLElement {
  const label = isComplete(model) ? 'Open' : 'Go on';
  const open = button(label, 'quiet compact', () => onChoose(choice));
  open.setAttribute('aria-label', `${label}: ${choice.name}`);
  return h(
    'li',
    { class: 'recent' },
    h('div', {}, h('strong', {}, choice.name), h('p', { class: 'muted small numbers' }, factsOf(model))),
    open,
  );
}

/** Latest first; null where nothing is kept that could be opened. @throws StorageError */
export async function recentModels(
  storage: ModelStorage,
  access: HubAccess,
  onChoose: (choice: Choice) => void,
): Promise<HTMLElement | null> {
  const models = await storage.list();
  const rows = [...models]
    .sort((a, b) => b.lastUsed.getTime() - a.lastUsed.getTime())
    .flatMap((model) => {
      const choice = choiceOf(model, access);
      return choice ? [row(model, choice, onChoose)] : [];
    });
  if (rows.length === 0) return null;
  return h(
    'section',
    { class: 'recents', 'aria-labelledby': 'recents-title' },
    h('h3', { id: 'recents-title' }, 'On this computer'),
    h('ul', { class: 'plain' }, ...rows.slice(0, MOST)),
  );
}
