/** A model's life over its connections: it ends, dies and is loaded again, whatever is asked meanwhile. */
import { describe, expect, it } from 'vitest';
import { InvalidRequest, SourceError, WorkerLost } from '../../../src/errors.ts';
import type { Handlers } from '../../../src/surface/connection.ts';
import { Direct } from '../../../src/surface/direct.ts';
import { Link } from '../../../src/surface/link.ts';
import { Model } from '../../../src/surface/model.ts';
import { split } from '../../../src/surface/options.ts';

/** The engine's side, scripted. */
class Side {
  disposals = 0;
  readonly emitters: ((value: unknown) => void)[] = [];
  lose: (lost: { reason: string; message: string }) => void = () => undefined;
  #lost = new Promise((resolve) => (this.lose = resolve));

  readonly handlers: Handlers = {
    calls: {
      load: () => ({ id: 'scripted', plan: { contextLength: 8 }, kept: null, tokenizer: null, template: null }),
      lost: () => this.#lost,
      dispose: () => void this.disposals++,
      evict: () => undefined,
      steps: (_args, { emit }) => {
        this.emitters.push(emit);
        return new Promise(() => undefined);
      },
    },
    streams: {},
  };
}

interface Opened {
  readonly model: Model;
  readonly sides: Side[];
  readonly connections: Direct[];
  failNext: Error | null;
}

async function open(): Promise<Opened> {
  const [sides, connections] = [[] as Side[], [] as Direct[]];
  const state = { failNext: null as Error | null };
  const model = await Model.open(async () => {
    await Promise.resolve();
    const { failNext } = state;
    state.failNext = null;
    if (failNext) throw failNext;
    const side = new Side();
    const connection = new Direct(side.handlers, () => undefined);
    sides.push(side);
    connections.push(connection);
    return Link.load({ connection, runsIn: 'worker' }, null, split({}));
  });
  return Object.assign(state, { model, sides, connections });
}

describe('restart', () => {
  it('disposes what was there, once for all who ask at the same time', async () => {
    const { model, sides } = await open();
    await Promise.all([model.restart(), model.restart()]);
    expect(sides.map(({ disposals }) => disposals)).toEqual([1, 0]);
    await model.evict(0, 0);
  });

  it('that fails can be tried again', async () => {
    const opened = await open();
    opened.failNext = new SourceError('offline', {});
    await expect(opened.model.restart()).rejects.toBeInstanceOf(SourceError);
    await expect(opened.model.evict(0, 0)).rejects.toBeInstanceOf(InvalidRequest);
    await opened.model.restart();
    await opened.model.evict(0, 0);
    expect(opened.sides).toHaveLength(2);
  });

  it('works after the worker is gone, keeps listeners, and leaves those alone that were stopped', async () => {
    const { model, sides, connections } = await open();
    const heard: unknown[] = [];
    model.onStep((step) => heard.push(step));
    const stop = model.onStep(() => heard.push('of one that was stopped'));
    stop();
    connections[0]!.close(new WorkerLost('gone'));
    await expect(model.evict(0, 0)).rejects.toBeInstanceOf(WorkerLost);
    await model.restart();
    await Promise.resolve();
    for (const emit of [...sides[0]!.emitters, ...sides[1]!.emitters]) emit('step');
    expect(sides[1]!.emitters).toHaveLength(1);
    expect(heard).toEqual(['step', 'step']);
  });

  it('that is overtaken by a disposal leaves nothing loaded', async () => {
    const { model, sides } = await open();
    const restarted = model.restart();
    await model.dispose();
    await restarted.catch((error: unknown) => expect(error).toBeInstanceOf(InvalidRequest));
    expect(sides.every(({ disposals }) => disposals === 1)).toBe(true);
  });
});

describe('lost', () => {
  it('resolves for a device, and not for a model that was disposed', async () => {
    const first = await open();
    first.sides[0]!.lose({ reason: 'unknown', message: 'crashed' });
    expect(await first.model.lost).toEqual({ reason: 'unknown', message: 'crashed' });

    const { model, sides } = await open();
    let told = false;
    void model.lost.then(() => (told = true));
    await model.dispose();
    sides[0]!.lose({ reason: 'destroyed', message: '' });
    await new Promise((resolve) => setImmediate(resolve));
    expect(told).toBe(false);
  });
});

it('disposing twice disposes once; whatever is asked later is refused', async () => {
  const { model, sides } = await open();
  await Promise.all([model.dispose(), model.dispose()]);
  expect(sides[0]!.disposals).toBe(1);
  for (const asked of [model.expertStats(), model.restart(), model.generate('a').next()])
    await expect(asked).rejects.toThrow(new InvalidRequest('The model was disposed', {}));
});
