/** Makes a link that asks the same question with the same settings. */
import { copyText } from '../clipboard.ts';
import { ReadError } from '../conversations/read.ts';
import { button, h } from '../dom.ts';
import { openModal } from '../modal.ts';
import { settingsText } from '../settings/fields.ts';
import { toFragment, type Shared } from './link.ts';

/** The page's own address, without what it holds. */
const pageAddress = (): string => location.href.replace(/#.*/s, '');

/** @param isWhole the question is the first of its conversation */
export function openShare(shared: Shared, isWhole: boolean): void {
  let link: string;
  try {
    link = pageAddress() + toFragment(shared);
  } catch (error) {
    if (!(error instanceof ReadError)) throw error;
    openModal('Share', h('p', { role: 'alert' }, `${error.message}.`));
    return;
  }
  const field = h('input', {
    type: 'text',
    readonly: true,
    value: link,
    'aria-label': 'Link',
    onfocus: () => field.select(),
  });
  const said = h('p', { class: 'said small', role: 'status' });
  const copy = button('Copy the link', 'primary compact', () => {
    void copyText(link).then((isCopied) => {
      if (!isCopied) field.select();
      said.textContent = isCopied ? 'Copied.' : 'Selected: now copy it.';
    });
  });
  openModal(
    'Share this question',
    h(
      'p',
      {},
      'The link holds the question',
      shared.system ? ', the system prompt' : '',
      settingsText(shared.settings) ? ` and the settings (${settingsText(shared.settings)})` : '',
      '. All of it stands after the #, which browsers send to no server; whoever has the link can read it.',
    ),
    isWhole
      ? null
      : h(
          'p',
          { class: 'muted small' },
          'It does not hold the conversation before the question: the answer may be another one.',
        ),
    h('div', { class: 'share-link' }, field, copy),
    said,
  );
}
