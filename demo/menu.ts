/** A small menu beside the button that opens it. */
import { h, icon, type IconName } from './dom.ts';
import { roving } from './roving.ts';

export interface MenuItem {
  readonly label: string;
  readonly image: IconName;
  readonly run: () => void;
}

/** @param onClose also when nothing was chosen */
export function openMenu(
  anchor: HTMLElement,
  label: string,
  items: readonly MenuItem[],
  onClose = (): void => undefined,
): void {
  const entries = items.map(({ label: text, image, run }) =>
    h('button', { type: 'button', role: 'menuitem', class: 'menu-item', onclick: () => close(run) }, icon(image), text),
  );
  const menu = h('div', { class: 'menu', role: 'menu', 'aria-label': label }, ...entries);
  const outside = (event: Event): void => {
    if (!menu.contains(event.target as Node)) close();
  };
  function close(run?: () => void): void {
    document.removeEventListener('pointerdown', outside, true);
    const hadFocus = menu.contains(document.activeElement);
    menu.remove();
    anchor.setAttribute('aria-expanded', 'false');
    if (hadFocus) anchor.focus();
    onClose();
    run?.();
  }
  menu.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' && event.key !== 'Tab') return;
    event.preventDefault();
    event.stopPropagation();
    close();
  });
  roving(menu, 'button', 'vertical');
  (anchor.closest('dialog') ?? document.body).append(menu);
  place(menu, anchor);
  anchor.setAttribute('aria-expanded', 'true');
  document.addEventListener('pointerdown', outside, true);
  entries[0]?.focus();
}

/** Below the anchor, or above where there is no room. */
function place(menu: HTMLElement, anchor: HTMLElement): void {
  const at = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const isLow = at.bottom + height + 8 > innerHeight;
  menu.style.top = `${isLow ? Math.max(8, at.top - height) : at.bottom}px`;
  menu.style.left = `${Math.max(8, Math.min(at.right - width, innerWidth - width - 8))}px`;
}
