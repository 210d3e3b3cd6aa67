/** What published models would take, from their real configs and headers of the right shapes; nothing is downloaded. */
import { describe, expect, it, test } from 'vitest';
import { inspect } from '../../../src/engine/inspect.ts';
import { plan } from '../../../src/engine/load.ts';
import { InvalidCheckpoint, InvalidRequest, OutOfBudget, UnsupportedModel } from '../../../src/errors.ts';
import { pathSource } from '../../../src/weights/node-source.ts';
import { FIRST_READ, hollowSource } from '../../support/hollow.ts';
import { filesOf, withConfig } from '../../support/models.ts';
import { memorySource } from '../../support/weights.ts';
import { published, PUBLISHED } from '../config/published.ts';

const GIB = 2 ** 30;
/** What desktop GPUs offer; WebGPU only guarantees 128 MiB. */
const DESKTOP = { maxBufferSize: 2 * GIB, maxStorageBufferBindingSize: 2 * GIB - 4 };
const olmoe = hollowSource(published('olmoe-1b-7b-0924-instruct'));

describe('OLMoE-1B-7B on a GPU of 8 GB', () => {
  const options = { limits: DESKTOP, gpuBytes: 8e9 };

  it('fits in 4 bits, and auto finds that', async () => {
    const auto = await plan(olmoe, options);
    expect(auto.precision).toBe('q4');
    expect(auto.verdict).toBe('fits');
    expect(auto.totalBytes).toBeLessThan(6e9);
    expect(auto.downloadBytes).toBeCloseTo(13.84e9, -8);
    const asIs = await plan(olmoe, { ...options, weights: 'as-is' });
    expect(asIs.verdict).toBe('does-not-fit');
    expect(asIs.bytes.weights + asIs.bytes.experts).toBeGreaterThan(13.8e9);
  });

  it('says what will be converted', async () => {
    const { conversions } = await plan(olmoe, { ...options, weights: 'q4' });
    // 16 layers of 64 experts with 3 matrices and of 4 projections; embedding and head; the routers stay.
    expect(Object.fromEntries(Object.entries(conversions).map(([k, v]) => [k, v.matrices]))).toEqual({
      'bf16 -> int4 g32 f16': 16 * (64 * 3 + 4),
      'bf16 -> int8 g32 f16': 2,
      bf16: 16,
    });
    const bytes = Object.values(conversions).reduce((n, c) => n + c.bytes, 0);
    expect(bytes).toBe((await plan(olmoe, { ...options, weights: 'q4' })).downloadBytes);
  });

  it('takes the first precision that fits', async () => {
    const at = async (gpuBytes: number): Promise<string> =>
      (await plan(olmoe, { limits: DESKTOP, gpuBytes })).precision;
    expect(await at(16e9)).toBe('as-is');
    expect(await at(10e9)).toBe('q8');
    expect(await at(6e9)).toBe('q4');
    const error = await plan(olmoe, { limits: DESKTOP, gpuBytes: 3e9 }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(OutOfBudget);
    expect((error as OutOfBudget).message).toMatch(/as-is takes \d+ bytes; q8 takes \d+ bytes; q4 takes \d+ bytes/);
  });

  it('grows with context and chunk as it must', async () => {
    const of = (contextLength: number, prefillChunk: number): ReturnType<typeof plan> =>
      plan(olmoe, { ...options, weights: 'q4', contextLength, prefillChunk });
    const [small, long, wide] = [await of(1024, 64), await of(2048, 64), await of(1024, 128)];
    expect(small.bytes.kv).toBe(16 * 2 * 16 * 128 * 1024 * 4); // layers, keys and values, heads, head size, positions, f32
    expect(long.bytes.kv).toBe(2 * small.bytes.kv);
    expect(wide.bytes.activations).toBeGreaterThan(1.8 * small.bytes.activations);
    expect(wide.bytes.kv).toBe(small.bytes.kv);
    expect({ ...long.bytes, kv: 0, tables: 0, activations: 0 }).toEqual({
      ...small.bytes,
      kv: 0,
      tables: 0,
      activations: 0,
    });
  });

  it('calls it tight in the last tenth', async () => {
    const { totalBytes } = await plan(olmoe, { ...options, weights: 'q4' });
    const verdict = async (gpuBytes: number): Promise<string> =>
      (await plan(olmoe, { limits: DESKTOP, gpuBytes, weights: 'q4' })).verdict;
    expect(await verdict(totalBytes)).toBe('tight');
    expect(await verdict(totalBytes - 1)).toBe('does-not-fit');
    expect(await verdict(Math.ceil(totalBytes / 0.9))).toBe('fits');
  });
});

// A layer's experts share one binding: where that is too small, the plan says so instead of failing at the first token.
test('names what no binding holds', async () => {
  const error = await plan(olmoe, { weights: 'q4' }).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(OutOfBudget);
  expect((error as OutOfBudget).message).toMatch(/mlp\.gate take \d+ bytes, more than this GPU binds at once/);
});

test.each(PUBLISHED)('%s is planned in every precision or told why not', async (name) => {
  const config = Object.fromEntries(Object.entries(published(name)).filter(([key]) => key !== 'quantization_config'));
  const found = await inspect(hollowSource(config), DESKTOP, { gpuBytes: 24e9, contextLength: 2048 });
  expect(found.checkpointBytes).toBeGreaterThan(0.99 * 2 * found.parameters.total);
  expect(found.checkpointBytes).toBeLessThanOrEqual(2 * found.parameters.total);
  expect(found.parameters.active).toBeLessThan(found.parameters.total);
  const sizes = Object.values(found.fit).map((f) => (f.verdict === 'impossible' ? Infinity : f.totalBytes));
  expect([...sizes].sort((a, b) => b - a)).toEqual(sizes); // as-is, q8, q4
  for (const fit of Object.values(found.fit))
    if (fit.verdict === 'impossible') expect(fit.why).toMatch(/binds at once/);
});

test('an unsupported quantisation is named', async () => {
  const error = await inspect(hollowSource(published('deepseek-v3')), DESKTOP).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(UnsupportedModel);
  expect((error as UnsupportedModel).message).toContain('"fp8"');
});

describe('wishes', () => {
  const source = pathSource('test/fixtures/families/mixtral');
  it.each([
    ['contextLength', 0],
    ['contextLength', 513],
    ['contextLength', 1.5],
    ['contextLength', NaN],
    ['prefillChunk', 0],
    ['prefillChunk', 0.5],
  ])('%s = %s is refused by name', async (option, value) => {
    const error = await plan(source, { [option]: value }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(InvalidRequest);
    expect((error as InvalidRequest).message).toContain(option);
  });

  it('a chunk never exceeds the context', async () => {
    expect((await plan(source, { contextLength: 40, prefillChunk: 1000 })).prefillChunk).toBe(40);
  });

  it('a chunk whose activations no binding holds is refused by name', async () => {
    const error = await plan(olmoe, { limits: DESKTOP, contextLength: 4096, prefillChunk: 4096 }).catch(
      (e: unknown) => e,
    );
    expect(error).not.toBeInstanceOf(Error); // 4096 tokens of 8 experts are 256 MiB
    const limits = { ...DESKTOP, maxStorageBufferBindingSize: 255 * 2 ** 20 };
    const refused = plan(olmoe, { limits, contextLength: 4096, prefillChunk: 4096 });
    await expect(refused).rejects.toThrow(OutOfBudget);
    await expect(refused).rejects.toThrow(/prefillChunk/);
  });

  it('an aborted plan rejects with the reason', async () => {
    const reason = new Error('enough');
    await expect(plan(source, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it('reads headers, not weights', async () => {
    const files = filesOf('test/fixtures/families/mixtral');
    const source = memorySource(files);
    await plan(source);
    const weightReads = source.reads.map((r) => /^(\S+\.safetensors) \d+-(\d+)$/.exec(r)).filter((r) => r !== null);
    for (const [, name, end] of weightReads) {
      const file = files[name!]!;
      const headerEnd = 8 + Number(new DataView(file.buffer).getBigUint64(0, true));
      expect(Number(end)).toBeLessThanOrEqual(Math.max(headerEnd, FIRST_READ));
    }
    expect(weightReads.length).toBeGreaterThan(0);
  });
});

test('a config that contradicts its tensors names the tensor and both shapes', async () => {
  const files = withConfig(filesOf('test/fixtures/families/mixtral'), { intermediate_size: 128 });
  const error = await plan(memorySource(files)).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(InvalidCheckpoint);
  expect((error as InvalidCheckpoint).fault).toBe('wrong-shape');
  expect((error as InvalidCheckpoint).message).toMatch(
    /experts\.0\.w\d.*\[.*96.*\].*\[.*128.*\]|experts\.0\.w\d.*\[.*128.*\].*\[.*96.*\]/,
  );
});
