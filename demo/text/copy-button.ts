/** Copies text; where the clipboard is closed to the page, selects it instead. */
import { button } from '../dom.ts';

/** How long the button says what it did, in milliseconds. */
const SAID_FOR = 2000;

/** @param block what is selected where there is no clipboard */
export function copyButton(text: () => string, block: HTMLElement): HTMLButtonElement {
  const say = (words: string): void => {
    copy.textContent = words;
    setTimeout(() => (copy.textContent = 'Copy'), SAID_FOR);
  };
  const select = (): void => {
    getSelection()?.selectAllChildren(block);
    say('Selected: now copy it');
  };
  const copy = button('Copy', 'tool', () => {
    const clipboard = (navigator as { clipboard?: Clipboard }).clipboard;
    if (!clipboard) return select();
    clipboard.writeText(text()).then(() => say('Copied'), select);
  });
  return copy;
}
