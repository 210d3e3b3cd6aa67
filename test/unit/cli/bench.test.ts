/** The bytes that bench says a token reads, against the tensors of the files themselves. */
import { expect, test } from 'vitest';
import { weightBytesPerToken } from '../../../src/cli/bench.ts';
import { DEFAULT_DEVICE_LIMITS, openModel, planOpened } from '../../../src/engine/open.ts';
import { pathSource } from '../../../src/weights/node-source.ts';
import { fixturePath, SHIPPED } from '../../support/models.ts';
import { readModel } from '../families/checkpoint.ts';

async function bytesPerToken(folder: string): Promise<number> {
  const opened = await openModel(pathSource(folder));
  const { plan } = planOpened(opened, DEFAULT_DEVICE_LIMITS, 'as-is', {});
  return weightBytesPerToken({ plan, config: opened.config });
}

test.each<[string, number]>([
  ['families/qwen3-moe', 4 / 16],
  ['families/deepseek-v3', 2 / 8],
  ['families/mixtral', 2 / 8],
])('%s: dense weights once, %s of the experts, one row of the embedding', async (fixture, share) => {
  let expected = 0;
  for (const [name, { shape }] of readModel(fixturePath(fixture))) {
    if (name.includes('.layers.3.')) continue; // DeepSeek's next-token head, which is not loaded
    const values = shape.reduce((a, b) => a * b, 1);
    const bytes = shape.length === 1 ? 4 * values : 2 * values; // vectors lie in f32
    if (name.includes('.experts.')) expected += share * bytes;
    else if (name.includes('embed_tokens')) expected += bytes / shape[0]!;
    else expected += bytes;
  }
  expect(await bytesPerToken(fixturePath(fixture))).toBe(expected);
});

test('the shipped model: the embedding is the head too, so all of it; 8 of 16 experts', async () => {
  // Values of int4 with a bf16 scale for 32, of int8 with one for 64 (padded to words a row), and the rest in bf16; vectors in f32.
  const int4 = (rows: number, cols: number): number => rows * (cols / 2 + 4 * Math.ceil(cols / 64));
  const int8 = (rows: number, cols: number): number => rows * (cols + 4 * Math.ceil(cols / 128));
  const [d, f] = [576, 64];
  const glu = (width: number): number => 2 * int4(width, d) + int4(d, width);
  const attention = int8(576, d) + 2 * int8(192, d) + int8(d, 576);
  const moe = 2 * 16 * d + 4 * 16 + glu(512) + 8 * glu(f);
  const expected = 30 * (attention + 2 * 4 * d) + glu(1536) + 29 * moe + 2 * 49152 * d + 4 * d;
  const found = await bytesPerToken(SHIPPED);
  // Slots begin on multiples of 256 bytes: at most that much more for each matrix of an expert.
  expect(found).toBeGreaterThanOrEqual(expected);
  expect(found).toBeLessThanOrEqual(expected + 29 * 8 * 2 * 256 + 30 * 5 * 32);
});
