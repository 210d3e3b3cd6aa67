/** Views grow while they are computed: the one that was asked for stays at the top, until the visitor moves or everything has had its time. */
const HELD_MS = 10_000;
const MOVES = ['wheel', 'touchstart', 'pointerdown', 'keydown'] as const;

let held: AbortController | null = null;

/** @param around holds the element and all that moves it */
export function holdOnTop(element: HTMLElement, around: HTMLElement): void {
  held?.abort();
  const stop = (held = new AbortController());
  const { signal } = stop;
  const resized = new ResizeObserver(() => element.scrollIntoView({ block: 'start' }));
  const timer = setTimeout(() => stop.abort(), HELD_MS);
  signal.addEventListener('abort', () => (resized.disconnect(), clearTimeout(timer)));
  for (const move of MOVES) window.addEventListener(move, () => stop.abort(), { signal, passive: true, capture: true });
  resized.observe(around);
}
