import { describe, expect, it } from 'vitest';
import { StepHistory, WINDOW } from '../../../demo/experts/history.ts';
import { describeRates, linePath } from '../../../demo/experts/sparkline.ts';
import {
  approximateText,
  downloadFact,
  downloadText,
  hitRateText,
  isWorthShowing,
  stripFacts,
} from '../../../demo/experts/words.ts';
import type { ExpertStats, StepEvent } from '../../../src/index.ts';

const STATS: ExpertStats = {
  mode: 'optimistic',
  slots: 96,
  experts: 128,
  resident: 96,
  slotBytes: 1e6,
  steps: 0,
  hitRate: null,
  recentHitRate: null,
  replays: 0,
  stallMs: 0,
  bytes: { memory: 1e6, disk: 2e6, network: 3e6 },
  layers: [],
  ghost: [],
  measured: { syncMs: 1, fillBytesPerSecond: null },
  prefetch: { issued: 0, useful: 0, wasted: 0, displacedDemand: 0, busyShare: 0 },
  download: null,
  storage: { kind: 'opfs', note: null },
  approximations: [],
};

const step = (event: Partial<StepEvent>): StepEvent => ({
  phase: 'decode',
  mode: 'optimistic',
  position: 0,
  tokens: 1,
  ms: 100,
  stallMs: 0,
  replays: 0,
  bytes: { memory: 0, disk: 0, network: 0 },
  layers: [{ needed: 8, hits: 8 }],
  approximations: [],
  ...event,
});

describe('the history of steps', () => {
  it('adds up the layers of a token, and leaves out prompts and tokens without experts', () => {
    const history = new StepHistory();
    expect(history.stallShare).toBeNull();
    history.push(step({ phase: 'prefill', stallMs: 100, layers: [{ needed: 8, hits: 0 }] }));
    history.push(step({ layers: [] }));
    expect(history.hitRates).toEqual([]);
    history.push(
      step({
        stallMs: 50,
        layers: [
          { needed: 8, hits: 2 },
          { needed: 8, hits: 6 },
        ],
      }),
    );
    history.push(step({ ms: 300 }));
    expect(history.hitRates).toEqual([0.5, 1]);
    expect(history.stallShare).toBe(50 / 400);
  });

  it('forgets what is older than the window', () => {
    const history = new StepHistory();
    history.push(step({ stallMs: 100, layers: [{ needed: 8, hits: 0 }] }));
    for (let i = 0; i < WINDOW; i++) history.push(step({}));
    expect(history.hitRates).toHaveLength(WINDOW);
    expect(Math.min(...history.hitRates)).toBe(1);
    expect(history.stallShare).toBe(0);
  });
});

describe('the line of hit rates', () => {
  it('ends at the right, none at the bottom, all at the top', () => {
    expect(linePath([])).toBe('');
    expect(linePath([0, 0.5, 1])).toBe('M61 19.0L62 10.0L63 1.0');
    expect(linePath(Array.from({ length: 200 }, () => 1))).toMatch(/^M0 1\.0L1 .*L63 1\.0$/);
  });

  it('in words', () => {
    expect(describeRates([])).toBe('Hit rate by token: no token yet');
    expect(describeRates([0.5, 0.25, 0.9])).toBe('Hit rate by token, of the last 3: lowest 25%, now 90%');
  });
});

describe('the strip', () => {
  const resident: Partial<ExpertStats> = { mode: 'resident', slots: 128, resident: 128 };

  it.each<[string, Partial<ExpertStats>, boolean]>([
    ['everything on the card', resident, false],
    ['fewer slots than experts', {}, true],
    ['experts still to come', { ...resident, resident: 12 }, true],
    ['a download under way', { ...resident, download: { loadedBytes: 1, totalBytes: 2 } }, true],
    ['a complete download', { ...resident, download: { loadedBytes: 2, totalBytes: 2 } }, false],
    ['approximations', { ...resident, approximations: ['x'] }, true],
  ])('%s', (_, stats, shown) => expect(isWorthShowing({ ...STATS, ...stats })).toBe(shown));

  it('says what is known', () => {
    expect(stripFacts(STATS, null)).toEqual(['96 of 128 experts', 'optimistic', '6.00 MB streamed']);
    expect(stripFacts(STATS, 0.104).at(-1)).toBe('10% waiting');
    expect(hitRateText(STATS)).toBe('no word yet');
    expect(hitRateText({ ...STATS, recentHitRate: 0.999 })).toBe('99% hits');
  });

  it('calls it a copy where every expert is on the card: then nothing is fetched', () => {
    const download = { loadedBytes: 1e6, totalBytes: 5e6 };
    const copying: ExpertStats = { ...STATS, ...resident, download, storage: { kind: 'memory', note: null } };
    expect(downloadText(copying)).toBe('Copying experts from the card into this tab’s memory: 1.00 MB of 5.00 MB');
    expect(downloadFact(copying)).toBe(
      'complete. Copying experts from the card into this tab’s memory: 1.00 MB of 5.00 MB',
    );
    expect(downloadText({ ...copying, storage: { kind: 'opfs', note: null } })).toBe(
      'Copying experts from the card to the disk: 1.00 MB of 5.00 MB',
    );
    expect(downloadText({ ...copying, resident: 127 })).toBe('Still downloading experts: 1.00 MB of 5.00 MB');
    expect(downloadFact({ ...copying, resident: 127 })).toBe('1.00 MB of 5.00 MB');
    expect(downloadFact({ ...copying, download: null })).toBeNull();
  });

  it('tells of downloads that go on, and of approximations', () => {
    expect(downloadText(STATS)).toBeNull();
    expect(downloadText({ ...STATS, download: { loadedBytes: 5e9, totalBytes: 5e9 } })).toBeNull();
    expect(downloadText({ ...STATS, download: { loadedBytes: 1e9, totalBytes: 5e9 } })).toBe(
      'Still downloading experts: 1.00 GB of 5.00 GB',
    );
    expect(approximateText(STATS)).toBeNull();
    expect(approximateText({ ...STATS, approximations: ['a', 'b'] })).toBe('approximate: a, b');
  });
});
