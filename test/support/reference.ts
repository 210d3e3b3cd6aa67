/** A model folder in memory, run by the engine and by the forward pass in doubles. */
import { expect } from 'vitest';
import { sortedRouting } from '../../src/cli/logits.ts';
import { loadOn, type LoadOptions } from '../../src/engine/load.ts';
import type { Gpu } from '../../src/gpu/gpu.ts';
import { referenceModel } from '../../src/reference/model.ts';
import { expectClose } from './conformance.ts';
import { integers } from './random.ts';
import type { Synthetic } from './synthetic.ts';
import { memorySource } from './weights.ts';

/** Longer than the windows of the test models, and a prime. */
const TOKENS = 29;

export const promptOf = ({ config }: Synthetic): number[] => [...integers(7, TOKENS, config.vocab)];

/** Logits and hidden states to 1e-3 of RMS, routing exactly; then the same bits again. */
export async function expectReference(
  gpu: Gpu,
  { config, names, files, weights }: Synthetic,
  ids: readonly number[],
  options: Pick<LoadOptions, 'weights' | 'prefillChunk' | 'adapter' | 'storage'> = {},
): Promise<void> {
  const expected = referenceModel(config, names, weights, ids);
  const model = await loadOn(gpu.share(), memorySource(files), { weights: 'as-is', contextLength: 64, ...options });
  try {
    const found = await model.logits(ids, { hidden: true });
    const routing = sortedRouting(found.routing, ids.length);
    const pairs = expected.routes.flatMap((layer) =>
      layer.flatMap((route) => route.ids.map((id, i) => [id, route.weights[i]!] as const).sort(([a], [b]) => a - b)),
    );
    expect([...routing.ids]).toEqual(pairs.map(([id]) => id));
    if (pairs.length)
      expectClose(
        routing.weights,
        pairs.map(([, weight]) => weight),
        1e-3,
        'routing weights',
      );
    const stream = [...expected.hidden.slice(0, -1), expected.final].flatMap((layer) => layer.flatMap((x) => [...x]));
    expectClose(found.hidden!, stream, 1e-3, 'hidden states');
    expectClose(
      found.logits,
      expected.logits.flatMap((x) => [...x]),
      1e-3,
      'logits',
    );
    const again = await model.logits(ids);
    expect(Buffer.from(again.logits.buffer).equals(Buffer.from(found.logits.buffer))).toBe(true);
  } finally {
    await model.dispose();
  }
}
