/** A box in place of a message, to write another version of it. */
import { button, h } from './dom.ts';

export interface EditorEvents {
  readonly onSave: (text: string) => void;
  readonly onCancel: () => void;
}

export function messageEditor(text: string, saveLabel: string, events: EditorEvents): HTMLElement {
  const box = h('textarea', { 'aria-label': 'Other version of the message', rows: 1 });
  box.value = text;
  const save = (): void => {
    if (box.value.trim()) events.onSave(box.value.trim());
  };
  const fit = (): void => {
    box.style.height = 'auto';
    box.style.height = `${box.scrollHeight + 2}px`;
  };
  box.addEventListener('input', fit);
  box.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') {
      event.stopPropagation(); // it would stop an answer
      events.onCancel();
    } else if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      save();
    }
  });
  queueMicrotask(() => {
    fit();
    box.focus();
    box.setSelectionRange(box.value.length, box.value.length);
  });
  return h(
    'div',
    { class: 'editor' },
    box,
    h(
      'div',
      { class: 'actions' },
      button(saveLabel, 'primary compact', save),
      button('Cancel', 'quiet compact', events.onCancel),
    ),
  );
}
