import { describe, expect, it } from 'vitest';
import { Lane } from '../../../src/engine/lane.ts';

/** A job that ends when told. */
function job(): { run: () => Promise<string>; end: (error?: Error) => void; readonly started: boolean } {
  let started = false;
  let end: (error?: Error) => void = () => undefined;
  const done = new Promise<string>((resolve, reject) => (end = (error) => (error ? reject(error) : resolve('done'))));
  return {
    run: () => {
      started = true;
      return done;
    },
    end: (error) => end(error),
    get started() {
      return started;
    },
  };
}
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

describe('Lane', () => {
  it('runs so many at a time, and the next when one ends', async () => {
    const lane = new Lane(2);
    const jobs = [job(), job(), job(), job()];
    const running = jobs.map((j) => lane.run(j.run));
    await settled();
    expect(jobs.map((j) => j.started)).toEqual([true, true, false, false]);
    jobs[1]!.end();
    expect(await running[1]).toBe('done');
    await settled();
    expect(jobs.map((j) => j.started)).toEqual([true, true, true, false]);
    for (const j of jobs) j.end();
    await Promise.all(running);
    expect(jobs[3]!.started).toBe(true);
  });

  it('takes those that somebody waits for first, each kind in order', async () => {
    const lane = new Lane(1);
    const order: string[] = [];
    const first = job();
    const running = [lane.run(first.run)];
    const add = (name: string, isAhead: boolean): void =>
      void running.push(
        lane.run(
          async () => {
            order.push(name);
            await settled();
            return name;
          },
          { isAhead },
        ),
      );
    add('ahead 1', true);
    add('demand 1', false);
    add('ahead 2', true);
    add('demand 2', false);
    first.end();
    await Promise.all(running);
    expect(order).toEqual(['demand 1', 'demand 2', 'ahead 1', 'ahead 2']);
  });

  it('never starts a job that was aborted before its turn, and goes on with the next', async () => {
    const lane = new Lane(1);
    const [first, dropped, last] = [job(), job(), job()];
    const abort = new AbortController();
    const running = lane.run(first.run);
    const aborted = lane.run(dropped.run, { signal: abort.signal });
    const after = lane.run(last.run);
    const reason = new Error('enough');
    abort.abort(reason);
    first.end();
    last.end();
    await expect(aborted).rejects.toBe(reason);
    expect(await Promise.all([running, after])).toEqual(['done', 'done']);
    expect([dropped.started, last.started]).toEqual([false, true]);
    await expect(lane.run(job().run, { signal: abort.signal })).rejects.toBe(reason);
  });

  it('is free again after jobs that fail', async () => {
    const lane = new Lane(1);
    for (let i = 0; i < 3; i++) {
      const broken = job();
      broken.end(new Error(`broken ${i}`));
      await expect(lane.run(broken.run)).rejects.toThrow(`broken ${i}`);
    }
    const thrown = lane.run(() => {
      throw new Error('at once');
    });
    await expect(thrown).rejects.toThrow('at once');
    const good = job();
    good.end();
    expect(await lane.run(good.run)).toBe('done');
  });

  it('never runs more at a time than it may, however jobs come and go', async () => {
    const lane = new Lane(3);
    let [now, most, done] = [0, 0, 0];
    const one = async (i: number): Promise<void> => {
      most = Math.max(most, ++now);
      for (let k = 0; k < i % 4; k++) await Promise.resolve();
      now--;
      done++;
      if (i % 5 === 0) throw new Error('some fail');
    };
    await Promise.allSettled(Array.from({ length: 60 }, (_, i) => lane.run(() => one(i), { isAhead: i % 2 === 0 })));
    expect([now, most, done]).toEqual([0, 3, 60]);
  });
});
