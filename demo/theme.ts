/** Light and dark: the system's choice, unless the visitor chose the other one. */
import { iconButton, icon } from './dom.ts';

const KEY = 'webmoe-theme';
type Theme = 'light' | 'dark';

const dark = window.matchMedia('(prefers-color-scheme: dark)');
const systemTheme = (): Theme => (dark.matches ? 'dark' : 'light');

/** Storage may be forbidden (private windows, blocked cookies): the choice then lasts as long as the page. */
function stored(write?: Theme | null): string | null {
  try {
    if (write === null) localStorage.removeItem(KEY);
    else if (write) localStorage.setItem(KEY, write);
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export function themeButton(): HTMLButtonElement {
  const root = document.documentElement;
  const current = (): Theme => (root.dataset.theme as Theme | undefined) ?? systemTheme();
  const show = (): void => {
    const other = current() === 'dark' ? 'light' : 'dark';
    toggle.replaceChildren(icon(other === 'dark' ? 'moon' : 'sun'));
    toggle.title = `Use the ${other} theme`;
    toggle.setAttribute('aria-label', toggle.title);
  };
  const toggle = iconButton('Theme', 'moon', () => {
    const next = current() === 'dark' ? 'light' : 'dark';
    const followsSystem = next === systemTheme();
    if (followsSystem) delete root.dataset.theme;
    else root.dataset.theme = next;
    stored(followsSystem ? null : next);
    show();
  });
  const kept = stored();
  if (kept === 'light' || kept === 'dark') root.dataset.theme = kept;
  dark.addEventListener('change', show);
  show();
  return toggle;
}
