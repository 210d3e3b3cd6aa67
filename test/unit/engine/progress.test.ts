import { expect, test } from 'vitest';
import { ProgressMeter, type LoadProgress } from '../../../src/engine/progress.ts';

const MB = 1e6;

function metered(): { meter: ProgressMeter; reports: LoadProgress[]; wait: (ms: number) => void } {
  const reports: LoadProgress[] = [];
  let now = 0;
  const meter = new ProgressMeter(
    (p) => reports.push(p),
    () => now,
  );
  return { meter, reports, wait: (ms) => (now += ms) };
}

test('says nothing about speed before there is something to measure', () => {
  const { meter, reports } = metered();
  meter.enter('open');
  meter.enter('weights', 100 * MB);
  expect(reports.at(-1)).toEqual({
    phase: 'weights',
    loadedBytes: 0,
    totalBytes: 100 * MB,
    bytesPerSecond: null,
    remainingSeconds: null,
  });
  meter.add(MB);
  expect(reports.at(-1)!.bytesPerSecond).toBeNull();
});

test('speed and time left are those of the last seconds', () => {
  const { meter, reports, wait } = metered();
  meter.enter('weights', 100 * MB);
  for (let i = 0; i < 40; i++) {
    wait(100);
    meter.add(MB); // 10 MB/s
  }
  expect(reports.at(-1)!.bytesPerSecond).toBeCloseTo(10 * MB, -4);
  expect(reports.at(-1)!.remainingSeconds).toBeCloseTo(6, 1);
  for (let i = 0; i < 40; i++) {
    wait(100);
    meter.add(MB / 10); // the line gets slow: what was fast four seconds ago no longer counts
  }
  expect(reports.at(-1)!.bytesPerSecond).toBeCloseTo(MB, -4);
  expect(reports.at(-1)!.loadedBytes).toBe(44 * MB);
});

test('reports at most twenty times a second, and every change of phase', () => {
  const { meter, reports, wait } = metered();
  meter.enter('weights', 1000);
  for (let i = 0; i < 1000; i++) {
    wait(1);
    meter.add(1);
  }
  expect(reports.length).toBeLessThanOrEqual(21);
  meter.enter('compile');
  meter.enter('ready');
  expect(reports.slice(-2).map((r) => [r.phase, r.loadedBytes, r.totalBytes])).toEqual([
    ['compile', 1000, 1000],
    ['ready', 1000, 1000],
  ]);
});

test('never shows more than there is', () => {
  const { meter, reports, wait } = metered();
  meter.enter('weights', 10);
  wait(100);
  meter.add(10.4);
  wait(100);
  meter.add(0.4);
  expect(reports.at(-1)).toMatchObject({ loadedBytes: 10, remainingSeconds: 0 });
});

test('the same by file, once it is known which there are', () => {
  const { meter, reports, wait } = metered();
  meter.enter('open');
  expect(reports.at(-1)).not.toHaveProperty('files');
  const files = new Map([
    ['a.safetensors', 60 * MB],
    ['b.safetensors', 40 * MB],
  ]);
  meter.enter('weights', 100 * MB, files);
  wait(100);
  meter.add(10 * MB, 'b.safetensors');
  meter.enter('compile');
  expect(reports.at(-1)!.files).toEqual([
    { name: 'a.safetensors', loadedBytes: 0, totalBytes: 60 * MB },
    { name: 'b.safetensors', loadedBytes: 10 * MB, totalBytes: 40 * MB },
  ]);
  // A device that was lost meanwhile begins again.
  meter.enter('weights', 100 * MB, files);
  expect(reports.at(-1)!.files!.map(({ loadedBytes }) => loadedBytes)).toEqual([0, 0]);
});
