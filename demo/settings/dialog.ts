/** System prompt and sampling of one conversation: every change is kept at once. */
import type { SamplingDefault } from '../../src/index.ts';
import type { Settings } from '../conversations/types.ts';
import { button, h } from '../dom.ts';
import { openModal } from '../modal.ts';
import { allowedText, defaultOf, FIELDS, isAllowed, type Field } from './fields.ts';

export interface SettingsChoice {
  readonly system: string;
  readonly settings: Settings;
  /** What the checkpoint recommends; null: not known. */
  readonly defaults: SamplingDefault | null;
  readonly onChange: (change: { readonly system?: string; readonly settings?: Settings }) => void;
}

/** Sixteen digits of a binary fraction help nobody. */
const shortNumber = (value: number): string => String(Number(value.toPrecision(6)));

interface Row {
  readonly element: HTMLElement;
  readonly clear: () => void;
}

function settingRow(
  field: Field,
  value: number | undefined,
  usual: number | null,
  onValue: (value: number | null) => void,
): Row {
  const { name, label, help, min, max, step } = field;
  const helpId = `setting-${name}-help`;
  const error = h('p', { class: 'error small', role: 'alert', hidden: true });
  const input = h('input', {
    type: 'number',
    id: `setting-${name}`,
    min,
    max,
    step: 'any',
    inputmode: step === 1 ? 'numeric' : 'decimal',
    placeholder: usual === null ? 'new each time' : shortNumber(usual),
    'aria-describedby': helpId,
  });
  if (value !== undefined) input.value = shortNumber(value);
  input.addEventListener('input', () => {
    const { value: text, valueAsNumber: asked } = input;
    const isEmpty = text === '' && !input.validity.badInput;
    const isGood = isEmpty || isAllowed(field, asked);
    error.hidden = isGood;
    error.textContent = isGood ? '' : `Needs ${allowedText(field)}: not used.`;
    input.setAttribute('aria-invalid', String(!isGood));
    if (isGood) onValue(isEmpty ? null : asked);
  });
  return {
    element: h(
      'div',
      { class: 'setting' },
      h('label', { for: input.id }, label),
      input,
      h('p', { id: helpId, class: 'muted small' }, help),
      error,
    ),
    clear: () => {
      input.value = '';
      error.hidden = true;
      input.removeAttribute('aria-invalid');
    },
  };
}

export function openSettings({ system, settings, defaults, onChange }: SettingsChoice): HTMLDialogElement {
  let now: Settings = settings;
  const box = h('textarea', { id: 'setting-system', rows: 3, placeholder: 'You are a helpful assistant that…' });
  box.value = system;
  box.addEventListener('input', () => onChange({ system: box.value }));
  const set = (field: Field, value: number | null): void => {
    now = Object.fromEntries([
      ...Object.entries(now).filter(([name]) => name !== field.name),
      ...(value === null ? [] : [[field.name, value] as const]),
    ]);
    reset.disabled = Object.keys(now).length === 0;
    onChange({ settings: now });
  };
  const rows = FIELDS.map((field) =>
    settingRow(field, now[field.name], defaultOf(field.name, defaults), (value) => set(field, value)),
  );
  const reset = button('Use the model’s own', 'quiet compact', () => {
    for (const row of rows) row.clear();
    now = {};
    onChange({ settings: now });
    dialog.querySelector<HTMLElement>('h2')?.focus();
    reset.disabled = true;
  });
  reset.disabled = Object.keys(now).length === 0;
  const dialog = openModal(
    'Settings of this conversation',
    h(
      'div',
      { class: 'setting wide' },
      h('label', { for: box.id }, 'System prompt'),
      box,
      h('p', { class: 'muted small' }, 'What the model is told before the conversation. Empty: nothing.'),
    ),
    h('div', { class: 'settings' }, ...rows.map((row) => row.element)),
    h(
      'div',
      { class: 'modal-foot' },
      h('p', { class: 'muted small' }, 'Grey values are the model’s own. They hold from the next answer on.'),
      reset,
    ),
  );
  return dialog;
}
