import { describe, expect, it } from 'vitest';
import { parseTuning } from '../../../src/engine/measure-tuning.ts';
import { tune, type Run, type TunerOptions } from '../../../src/engine/tuner.ts';
import { UNTUNED, type Tuning } from '../../../src/engine/tuning.ts';

/** A device that takes so long for a run, and a clock that nothing else moves. */
function device(ms: (run: Run) => number): TunerOptions & { readonly runs: Run[] } {
  let clock = 1000;
  const runs: Run[] = [];
  const time = (run: Run): Promise<number> => {
    runs.push(run);
    clock += ms(run);
    return Promise.resolve(ms(run));
  };
  return { fewMost: 8, chunk: 256, tileRows: [16], time, now: () => clock, budgetMs: 200, runs };
}

/** @param each of a step of a few, a token @param whole of a chunk, however many */
const crossing =
  (each: number, whole: number) =>
  (run: Run): number =>
    run.batch === 'few' ? each * run.tokens : whole;

const chosen = (options: TunerOptions): Promise<Tuning> => tune(UNTUNED, options);

describe('tune', () => {
  it.each([
    [1, 10, 8],
    [2, 10, 4],
    [4, 10, 2],
    [6, 10, 1],
    [1.2, 10, 4], // 9.6 at 8: no clear gain
  ])('a few at %f ms a token against chunks of %f ms: up to %i', async (each, whole, upTo) => {
    expect((await chosen(device(crossing(each, whole)))).fewUpTo).toBe(upTo);
  });

  it('never takes more than there may be', async () => {
    expect((await chosen({ ...device(crossing(1, 100)), fewMost: 5 })).fewUpTo).toBe(5);
    const none = device(crossing(1, 100));
    expect((await chosen({ ...none, fewMost: 1 })).fewUpTo).toBe(1);
    expect(none.runs).toEqual([]);
  });

  it('takes the tiles that are clearly faster', async () => {
    const tiles = (ms16: number, ms32: number): Promise<Tuning> =>
      chosen({ ...device(({ tileRows }) => (tileRows === 16 ? ms16 : ms32)), tileRows: [16, 32] });
    expect((await tiles(20, 15)).tileRows).toBe(32);
    expect((await tiles(20, 19.5)).tileRows).toBe(16);
    expect((await tiles(15, 20)).tileRows).toBe(16);
  });

  it('stays within its budget, but for the run that it is in, and with what it does not reach', async () => {
    const slow = device(() => 150);
    expect(await chosen({ ...slow, tileRows: [16, 32] })).toEqual(UNTUNED);
    expect(slow.runs).toHaveLength(2);
    const spent = device(() => 1);
    expect(await chosen({ ...spent, budgetMs: 0, tileRows: [16, 32] })).toEqual(UNTUNED);
    expect(spent.runs).toEqual([]);
  });
});

describe('what was kept', () => {
  const tuning: Tuning = { fewUpTo: 4, tileRows: 32 };

  it('is taken for the same model on the same adapter', () => {
    expect(parseTuning(JSON.stringify({ name: 'a', tuning }), 'a')).toEqual(tuning);
    expect(parseTuning(JSON.stringify({ name: 'a', tuning }), 'b')).toBeNull();
  });

  it.each([
    '',
    'null',
    '{}',
    '{"name":"a"}',
    '{"name":"a","tuning":{"fewUpTo":1.5,"tileRows":16}}',
    '{"name":"a","tuning":{"fewUpTo":2,"tileRows":48}}',
  ])('is measured anew where it reads %s', (text) => expect(parseTuning(text, 'a')).toBeNull());
});
