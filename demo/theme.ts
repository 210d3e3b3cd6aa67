/** Light and dark: the system's choice, unless the visitor chose the other one. */
import { iconButton, icon } from './dom.ts';
import { recall, remember } from './remember.ts';

const KEY = 'webmoe-theme';
type Theme = 'light' | 'dark';

const dark = window.matchMedia('(prefers-color-scheme: dark)');
const systemTheme = (): Theme => (dark.matches ? 'dark' : 'light');

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
    remember(KEY, followsSystem ? null : next);
    show();
  });
  const kept = recall(KEY);
  if (kept === 'light' || kept === 'dark') root.dataset.theme = kept;
  dark.addEventListener('change', show);
  show();
  return toggle;
}
