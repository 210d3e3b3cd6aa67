/** How often a view draws a trace that grows. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { LIVE_MS, Pace } from '../../../src/viz/pace.ts';

/** Tells the pace whether its host is in view. */
let see: (isIntersecting: boolean) => void = () => undefined;
class Observer {
  observe = vi.fn();
  disconnect = vi.fn();
  constructor(tell: (entries: readonly { isIntersecting: boolean }[]) => void) {
    see = (isIntersecting) => tell([{ isIntersecting }]);
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('IntersectionObserver', Observer);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** A host that asks at each token and draws when it may. */
function followed(): { readonly token: () => void; readonly drawings: () => number; readonly pace: Pace } {
  let drawings = 0;
  const draw = (): void => {
    drawings++;
    pace.drawn();
  };
  const pace = new Pace({} as Element, draw);
  pace.start();
  return { pace, drawings: () => drawings, token: () => pace.isDue(LIVE_MS) && draw() };
}

it('draws at once, then four times a second, and last what came last', () => {
  const { token, drawings } = followed();
  token();
  expect(drawings()).toBe(1);
  for (let ms = 0; ms < 1000; ms += 20) {
    vi.advanceTimersByTime(20);
    token();
  }
  expect(drawings()).toBe(5);
  vi.advanceTimersByTime(LIVE_MS);
  expect(drawings()).toBe(6);
  vi.advanceTimersByTime(10 * LIVE_MS);
  expect(drawings()).toBe(6);
});

it('draws nothing where nobody sees it, and all of it when somebody does', () => {
  const { token, drawings } = followed();
  see(false);
  for (let i = 0; i < 50; i++) {
    token();
    vi.advanceTimersByTime(50);
  }
  expect(drawings()).toBe(0);
  see(true);
  expect(drawings()).toBe(1);
  see(false);
  see(true);
  expect(drawings()).toBe(1);
});

it('forgets what it waits for when the host leaves', () => {
  const { token, drawings, pace } = followed();
  token();
  token();
  pace.stop();
  vi.advanceTimersByTime(10 * LIVE_MS);
  expect(drawings()).toBe(1);
});
