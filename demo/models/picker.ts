/** Everything else that can be loaded: what is kept here, known open models, any id or address. */
import type { ModelStorage } from '../../src/index.ts';
import { h } from '../dom.ts';
import type { Access } from './access.ts';
import { modelCard } from './card.ts';
import { CATALOGUE } from './catalogue.ts';
import { hubChoice, type Choice } from './choice.ts';
import { hubForm } from './hub-form.ts';
import { offlineLine } from '../offline/network.ts';
import { recentModels } from './recent.ts';
import { remoteDetails, type RemoteChoice } from '../remote/form.ts';
import { sorted, type SortKey } from './words.ts';

export interface PickerOptions {
  readonly access: Access;
  /** Absent or null: nothing is kept. */
  readonly storage: ModelStorage | null | undefined;
  /** false on a software adapter. */
  readonly withSpeed: boolean;
  readonly onChoose: (choice: Choice) => void;
  readonly onRemote: (choice: RemoteChoice) => void;
}

const SORTS: readonly (readonly [SortKey, string])[] = [
  ['size', 'smallest download first'],
  ['speed', 'fastest first'],
  ['name', 'by name'],
];

function offers({ access, withSpeed, onChoose }: PickerOptions): HTMLElement {
  const list = h('ul', { class: 'offers plain' });
  const sort = h(
    'select',
    { id: 'offers-sort' },
    ...SORTS.filter(([key]) => withSpeed || key !== 'speed').map(([value, text]) => h('option', { value }, text)),
  );
  const all = h('input', { type: 'checkbox', id: 'offers-whole' });
  const show = (): void => {
    const fitting = CATALOGUE.filter(({ figures }) => !all.checked || /^(fits|tight)$/.test(figures.plan.verdict));
    list.replaceChildren(
      ...sorted(fitting, sort.value as SortKey).map((entry) =>
        modelCard(entry, withSpeed, () => onChoose(hubChoice(entry.id, access))),
      ),
    );
  };
  for (const control of [sort, all]) control.addEventListener('change', show);
  show();
  return h(
    'section',
    { 'aria-labelledby': 'offers-title' },
    h('h3', { id: 'offers-title' }, 'Open models on the Hub'),
    h(
      'div',
      { class: 'offers-head' },
      h('span', {}, h('label', { for: 'offers-sort' }, 'Order: '), sort),
      h('span', { class: 'check' }, all, h('label', { for: 'offers-whole' }, 'Only those that fit whole')),
    ),
    list,
    h(
      'p',
      { class: 'muted small' },
      `Verdicts are for the usual graphics memory; it can be changed before loading.${withSpeed ? ' Speeds are estimates for a middling graphics card and a solid-state disk.' : ''}`,
    ),
  );
}

export function modelPicker(options: PickerOptions): HTMLElement {
  const recents = h('div', {});
  const { storage, access, onChoose } = options;
  if (storage)
    recentModels(storage, access, onChoose).then(
      (section) => section && recents.replaceChildren(section),
      () => undefined, // the dialog of stored models says why
    );
  return h(
    'section',
    { class: 'picker', 'aria-labelledby': 'picker-title' },
    h('h2', { id: 'picker-title' }, 'Other models'),
    offlineLine(),
    recents,
    hubForm(access, onChoose),
    remoteDetails(options.onRemote),
    offers(options),
  );
}
