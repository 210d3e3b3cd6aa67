/** A dialog over the page: Esc, its button and a click beside it close it, and the focus goes back to where it was. */
import { h, iconButton, type Child } from './dom.ts';

export function openModal(title: string, ...content: readonly Child[]): HTMLDialogElement {
  const before = document.activeElement;
  const dialog = h(
    'dialog',
    { class: 'dialog', 'aria-labelledby': 'modal-title' },
    h(
      'div',
      { class: 'panel-head' },
      h('h2', { id: 'modal-title', tabindex: -1, autofocus: true }, title),
      iconButton('Close', 'close', () => dialog.close()),
    ),
    h('div', { class: 'modal' }, ...content),
  );
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener('close', () => {
    dialog.remove();
    if (before instanceof HTMLElement && before.isConnected && document.activeElement === document.body) before.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
