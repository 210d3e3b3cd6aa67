/** One stop for Tab in a group of controls; arrows, Home and End move within it. */

const STEPS: Readonly<Record<string, number>> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 };

/**
 * @param selector of the controls in it, in their order on the page
 * @returns to be called when controls were added or removed
 */
export function roving(group: HTMLElement, selector: string, axis: 'horizontal' | 'vertical'): () => void {
  const items = (): HTMLElement[] =>
    [...group.querySelectorAll<HTMLElement>(selector)].filter((item) => !item.hidden && !item.matches(':disabled'));
  const own = axis === 'horizontal' ? ['ArrowLeft', 'ArrowRight'] : ['ArrowUp', 'ArrowDown'];
  let current: HTMLElement | null = null;

  const refresh = (): void => {
    const all = items();
    if (!current || !all.includes(current)) current = all[0] ?? null;
    for (const item of all) item.tabIndex = item === current ? 0 : -1;
  };
  const goal = (key: string, all: readonly HTMLElement[], at: number): HTMLElement | undefined => {
    if (key === 'Home') return all[0];
    if (key === 'End') return all.at(-1);
    return own.includes(key) ? all[Math.min(all.length - 1, Math.max(0, at + STEPS[key]!))] : undefined;
  };
  group.addEventListener('focusin', ({ target }) => {
    if (!(target instanceof HTMLElement) || !items().includes(target)) return;
    current = target;
    refresh();
  });
  group.addEventListener('keydown', (event) => {
    const all = items();
    const at = all.indexOf(document.activeElement as HTMLElement);
    const next = at < 0 || event.altKey || event.ctrlKey || event.metaKey ? undefined : goal(event.key, all, at);
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  refresh();
  return refresh;
}
