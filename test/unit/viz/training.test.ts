/** What a visitor asks of a training run, on a trainer that only counts. */
import { describe, expect, it } from 'vitest';
import { informationOf } from '../../../src/trace/stats/information.ts';
import { readTrace, writeTrace } from '../../../src/trace/npz.ts';
import { forgetLesson, Lesson, lessonOf, type Progress } from '../../../src/viz/training/lesson.ts';
import { traceOfLook } from '../../../src/viz/training/trace.ts';
import type { Trainer, TrainingSettings, TrainingStep } from '../../../src/viz/training.ts';

const SETTINGS: TrainingSettings = { experts: 3, topK: 2, balance: 0.01, seed: 1 };

/** A plane of four squares; square i asks experts i % 3 and (i + 1) % 3. `failsAt`: the step that throws, once. */
function counting({ failsAt = Infinity } = {}) {
  const told: string[] = [];
  let fails = failsAt;
  const trainer: Trainer = {
    name: 'counting',
    denseSteps: 10,
    steps: 40,
    expertBytes: 4,
    regions: () => ({ side: 2, count: 2, labels: Uint8Array.from([0, 0, 1, 1]) }),
    start: ({ seed }) => {
      told.push(`start ${seed}`);
      const steps: TrainingStep[] = [];
      return Promise.resolve({
        steps,
        denseError: null,
        step: async () => {
          await Promise.resolve();
          if (steps.length + 1 === fails) {
            fails = Infinity;
            throw new Error('lost');
          }
          steps.push({ error: 1 / (steps.length + 1), balance: 1, loads: Uint32Array.of(1, 2, 3) });
        },
        look: () =>
          Promise.resolve({
            experts: Uint32Array.from([0, 1, 1, 2, 2, 0, 0, 1]),
            weights: new Float32Array(8).fill(0.5),
            logits: new Float32Array(12).fill(0.25),
            error: 0.5,
          }),
        dispose: () => void told.push('end'),
      });
    },
  };
  return { trainer, told };
}

async function all(progress: AsyncGenerator<Progress>): Promise<readonly Progress[]> {
  const seen: Progress[] = [];
  for await (const one of progress) seen.push(one);
  return seen;
}
const looksOf = ({ looks }: Progress): readonly number[] => looks.map(({ at }) => at);

describe('a lesson', () => {
  it('trains to the step that was asked for, looks every ten steps and where it stops, and goes back without training', async () => {
    const { trainer, told } = counting();
    const lesson = new Lesson(trainer, SETTINGS);
    expect((await all(lesson.until(0, 0))).at(-1)).toMatchObject({ done: 0, steps: [], looks: [] });
    expect(told).toEqual([]); // nothing asks for the graphics card before a visitor does
    const seen = await all(lesson.until(23, 0));
    expect(seen.map(({ done, isOpening }) => [done, isOpening])).toEqual([
      [0, false],
      [0, true],
      [10, false],
      [20, false],
      [23, false],
    ]);
    expect(looksOf(seen.at(-1)!)).toEqual([10, 20, 23]);
    const back = (await all(lesson.until(15, 0))).at(-1)!;
    expect([back.done, back.steps.length, looksOf(back)]).toEqual([23, 15, [10]]);
    expect(lesson.lastLook(15)?.at).toBe(10);
    expect(told).toEqual(['start 1']);
  });

  it('is one at a time: a later call takes over, a pause ends it, never two steps at once', async () => {
    const { trainer } = counting();
    const lesson = new Lesson(trainer, SETTINGS);
    const first = all(lesson.until(40, 0));
    const second = await all(lesson.until(12, 0));
    expect(second.at(-1)?.done).toBe(12);
    expect((await first).at(-1)!.done).toBeLessThan(12);
    const running = all(lesson.until(40, 0));
    expect(lesson.isRunning).toBe(true);
    lesson.pause();
    expect(lesson.isRunning).toBe(false);
    expect((await running).at(-1)!.done).toBeLessThan(40);
  });

  it('says what went wrong, gives the run back, and can begin anew', async () => {
    const { trainer, told } = counting({ failsAt: 5 });
    const lesson = new Lesson(trainer, SETTINGS);
    expect((await all(lesson.until(40, 0))).at(-1)?.problem).toBe('lost');
    expect(lesson.isRunning).toBe(false);
    expect((await all(lesson.until(40, 0))).at(-1)).toMatchObject({ done: 40, problem: null });
    expect(told).toEqual(['start 1', 'end', 'start 1']);
  });

  it('ends when settings change or it is forgotten', async () => {
    const { trainer, told } = counting();
    const lesson = lessonOf(trainer, SETTINGS);
    await all(lesson.until(1, 0));
    expect(lessonOf(trainer, { ...SETTINGS })).toBe(lesson);
    const other = lessonOf(trainer, { ...SETTINGS, seed: 2 });
    await all(other.until(1, 0));
    forgetLesson(trainer);
    await new Promise((resolve) => setTimeout(resolve));
    expect(told).toEqual(['start 1', 'end', 'start 2', 'end']);
  });
});

it('a look is a trace: a chat for each region, a token for each square', async () => {
  const { trainer } = counting();
  const lesson = new Lesson(trainer, SETTINGS);
  await all(lesson.until(10, 0));
  const trace = readTrace(writeTrace(traceOfLook(lesson.lastLook(10)!, trainer, SETTINGS)));
  expect(trace.model).toMatchObject({ layers: 1, experts: 3, topK: 2 });
  expect(trace.chats?.map(({ domain }) => domain)).toEqual(['region 0', 'region 1']);
  expect([...trace.ids]).toEqual([0, 1, 1, 2, 2, 0, 0, 1]);
  expect(trace.texts?.[0]).toBe('(-0.50, 0.50) ');
  expect(informationOf([1, 1, 0, 1, 0, 1], 2, 3).bits.value).toBeCloseTo(0.5);
});
