/** A model whose records may take less disk than they need: what fits is kept, and nothing is fetched for a disk that takes no more. */
import { expect, it } from 'vitest';
import { pathSource } from '../../src/weights/node-source.ts';
import { memoryFolder } from '../../src/weights/records/memory-folder.ts';
import type { ByteSource } from '../../src/weights/source.ts';
import { openTestGpu } from '../support/gpu.ts';
import { fixturePath, withModel } from '../support/models.ts';

const gpu = await openTestGpu({ defaultLimits: true });

interface Kept {
  /** That the checkpoint was read for, until all was settled. */
  readonly readBytes: number;
  readonly presentBytes: number;
  readonly totalBytes: number;
  readonly isComplete: boolean;
  readonly tokens: readonly number[];
}

async function keep(diskBytes?: number): Promise<Kept> {
  let readBytes = 0;
  const inner = pathSource(fixturePath('families/olmoe'));
  const source: ByteSource = {
    label: inner.label,
    size: (file, signal) => inner.size(file, signal),
    async *stream(file, begin, end, signal) {
      readBytes += end - begin;
      yield* inner.stream(file, begin, end, signal);
    },
  };
  const storage = { root: memoryFolder() };
  return withModel(gpu, source, { storage, diskBytes, expertsResident: 0, start: 'early' }, async (model) => {
    await model.settled();
    const settled = readBytes;
    const tokens: number[] = [];
    for await (const { id } of model.generate({ ids: [5, 6, 7] }, { temperature: 0, ignoreEnd: true, maxTokens: 4 }))
      tokens.push(id);
    const { presentBytes, totalBytes, isComplete } = model.kept!;
    return { readBytes: settled, presentBytes, totalBytes, isComplete, tokens };
  });
}

it('keeps everything where there is room, and stops fetching for a full disk', async () => {
  const all = await keep();
  expect(all.isComplete).toBe(true);
  const room = Math.floor(all.totalBytes / 40); // for a third of the experts; all other weights are one record of 4 MiB
  const some = await keep(room);
  expect(some.isComplete).toBe(false);
  expect(some.presentBytes).toBeLessThanOrEqual(room);
  expect(some.presentBytes).toBeGreaterThan(0);
  expect(some.readBytes).toBeLessThan(0.85 * all.readBytes);
  expect(some.tokens).toEqual(all.tokens);
});
