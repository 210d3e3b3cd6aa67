/**
 * Layers that carry a state in place of keys and values. A state cannot go back: after an edit, a token that starts again, a fetch that fails or a
 * lost device, the bits must be those of a run in which nothing of it happened.
 */
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { load, type LoadOptions } from '../../src/engine/load.ts';
import type { Model } from '../../src/engine/model.ts';
import { SourceError } from '../../src/errors.ts';
import { pathSource } from '../../src/weights/node-source.ts';
import type { ByteSource } from '../../src/weights/source.ts';
import { openModelDawn } from '../support/gpu.ts';
import { LosableGpu } from '../support/losable.ts';
import { fixturePath } from '../support/models.ts';

const gpu = new LosableGpu(await openModelDawn());
afterAll(() => gpu.dispose());
afterEach(() => gpu.reset());

const CHUNK = 8;
const PROMPT = Array.from({ length: 21 }, (_, i) => (37 * i + 5) % 256);
const FEWEST = { expertsResident: 0, mode: 'optimistic' } as const;

interface Answer {
  readonly tokens: readonly unknown[];
  readonly ids: readonly number[];
  readonly cached: number;
}

/** @param each called with the number of tokens so far, before the next is asked for */
async function ask(model: Model, ids: readonly number[], maxTokens = 4, each?: (n: number) => void): Promise<Answer> {
  const drawn: { id: number; logprob: number }[] = [];
  const running = model.generate({ ids }, { temperature: 0, ignoreEnd: true, maxTokens });
  for (;;) {
    const { done, value } = await running.next();
    if (done) return { tokens: drawn, ids: drawn.map(({ id }) => id), cached: value.cachedTokens };
    drawn.push({ id: value.id, logprob: value.logprob });
    each?.(drawn.length);
  }
}

// Layers of the one carry both kinds of state, of a convolution and of a scan, with attention in between; those of the others a state and keys, and ZAYA1's routers one.
describe.each(['families/jamba', 'families/yuan', 'families/zaya'])('%s', (fixture) => {
  const path = fixturePath(fixture);
  const withModel = async <T>(
    use: (model: Model) => Promise<T>,
    options: LoadOptions = {},
    source: ByteSource = pathSource(path),
  ): Promise<T> => {
    const model = await load(source, {
      gpu: gpu.asGpu,
      kernels: 'gpu',
      defaultLimits: true,
      contextLength: 96,
      prefillChunk: CHUNK,
      collect: false,
      ...options,
    });
    try {
      return await use(model);
    } finally {
      await model.dispose();
    }
  };

  it('goes on from the end of what it holds, and starts anew after an edit', async () => {
    const edited = [...PROMPT.slice(0, 13), 3, 1, 4, 1, 5, 9];
    const [first, other] = await withModel(async (m) => [await ask(m, PROMPT), await ask(m, edited)] as const);
    await withModel(async (model) => {
      expect(await ask(model, edited)).toEqual({ ...other, cached: 0 });
      expect(await ask(model, PROMPT)).toEqual({ ...first, cached: 0 });
      expect(await ask(model, PROMPT), 'the same prompt again').toEqual({ ...first, cached: 0 });
      const next = [...PROMPT, ...first.ids, 7, 11];
      const second = await ask(model, next);
      expect(second.cached, 'all but the token drawn last').toBe(PROMPT.length + first.ids.length - 1);
      const anew = await withModel((m) => ask(m, next));
      expect(second.ids).toEqual(anew.ids);
      expect(await ask(model, edited), 'an edit').toEqual({ ...other, cached: 0 });
    });
  });

  it('gives the same bits when tokens start again, and after a fetch that failed in the middle of a step', async () => {
    const want: Answer[] = [];
    const prompts: number[][] = [PROMPT];
    await withModel(async (model) => {
      for (const added of [[7, 11, 13], [17], []]) {
        const answer = await ask(model, prompts.at(-1)!);
        want.push(answer);
        prompts.push([...prompts.at(-1)!, ...answer.ids, ...added]);
      }
    });
    const source = pathSource(path);
    let left = Infinity;
    const breaking: ByteSource = {
      ...source,
      async *stream(file, begin, end, signal) {
        if (file.endsWith('.safetensors') && --left < 0) throw new SourceError('the line is dead', {});
        yield* source.stream(file, begin, end, signal);
      },
    };
    const run = async (model: Model): Promise<void> => {
      let replays = 0;
      model.onStep((event) => void (replays += event.replays));
      for (const [turn, answer] of want.entries()) {
        left = 5; // some layers of the first chunk run before the line breaks
        await expect(ask(model, prompts[turn]!)).rejects.toThrow('the line is dead');
        left = Infinity;
        expect(await ask(model, prompts[turn]!), `turn ${turn}`).toEqual(answer);
      }
      expect(replays).toBeGreaterThan(0);
    };
    await withModel(run, FEWEST, breaking);
  });

  it('gives the same bits after a lost device', async () => {
    const want = await withModel((model) => ask(model, PROMPT));
    const lost = await withModel((model) => ask(model, PROMPT, 4, (n) => void (n === 3 && gpu.last.lose())));
    expect(lost).toEqual(want);
    expect(gpu.devices.length).toBeGreaterThan(2);
  });
});
