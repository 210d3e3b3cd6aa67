import { expect, it } from 'vitest';
import { Latest } from '../../../demo/visualiser/latest.ts';

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

it('asks once at a time, and once more for all that changed meanwhile', async () => {
  const waiting: ((value: number) => void)[] = [];
  const told: number[] = [];
  const latest = new Latest(
    () => new Promise<number>((resolve) => waiting.push(resolve)),
    (value) => told.push(value),
  );
  for (let i = 0; i < 5; i++) latest.changed();
  expect(waiting).toHaveLength(1);
  waiting[0]!(1);
  await turn();
  expect([told, waiting.length]).toEqual([[1], 2]);
  waiting[1]!(2);
  await turn();
  expect([told, waiting.length]).toEqual([[1, 2], 2]); // nothing changed after it asked
});

it('asks again after an answer that failed', async () => {
  const told: number[] = [];
  let fails = true;
  const latest = new Latest(
    () => (fails ? Promise.reject(new Error('gone')) : Promise.resolve(7)),
    (value) => told.push(value),
  );
  latest.changed();
  await turn();
  fails = false;
  latest.changed();
  await turn();
  expect(told).toEqual([7]);
});
