/** What published models would take, from their real configs and headers of the right shapes; nothing is downloaded. */
import { describe, expect, it, test } from 'vitest';
import { inspect } from '../../../src/engine/inspect.ts';
import { plan } from '../../../src/engine/load.ts';
import { InvalidCheckpoint, InvalidRequest, OutOfBudget, UnsupportedModel } from '../../../src/errors.ts';
import { pathSource } from '../../../src/weights/node-source.ts';
import { FIRST_READ, hollowSource } from '../../support/hollow.ts';
import { thinned } from '../../support/everyday.ts';
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
    expect(asIs.verdict).toBe('streams');
    expect(asIs.fullBytes).toBeGreaterThan(13.8e9);
    expect(asIs.totalBytes).toBeLessThanOrEqual(8e9);
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
  });

  it('streams the smallest precision where none fits, and refuses only what not even that can', async () => {
    const { precision, verdict, slots } = await plan(olmoe, { limits: DESKTOP, gpuBytes: 3e9 });
    expect([precision, verdict]).toEqual(['q4', 'streams']);
    expect(slots.count).toBeLessThan(slots.experts);
    const error = await plan(olmoe, { limits: DESKTOP, gpuBytes: 1e9 }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(OutOfBudget);
    expect((error as OutOfBudget).message).toMatch(
      /as-is takes at least \d+ bytes; q8 takes at least \d+ bytes; q4 takes at least \d+ bytes/,
    );
  });

  it('streams the first precision when asked how many experts to keep', async () => {
    const { precision, verdict } = await plan(olmoe, { limits: DESKTOP, gpuBytes: 8e9, expertsResident: 0.25 });
    expect([precision, verdict]).toEqual(['as-is', 'streams']);
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
    expect(await verdict(totalBytes - 1)).toBe('streams');
    expect(await verdict(Math.ceil(totalBytes / 0.9))).toBe('fits');
  });
});

describe('bindings of 128 MiB, which every device has', () => {
  const MIB = 2 ** 20;

  it('hold fewer slots than a layer has experts, so OLMoE streams', async () => {
    const { verdict, slots, arenas, minimumBytes, fullBytes } = await plan(olmoe, { weights: 'q4' });
    expect(verdict).toBe('streams');
    expect(slots.count).toBeLessThan(slots.experts);
    expect(slots.count).toBeGreaterThan(0.5 * slots.experts);
    for (const { bytes } of arenas) expect(bytes).toBeLessThanOrEqual(128 * MIB);
    expect(minimumBytes).toBeLessThan(fullBytes);
  });

  it('make a budget for everything stream as well', async () => {
    const { fullBytes, minimumBytes } = await plan(olmoe, { weights: 'q4' });
    for (const gpuBytes of [fullBytes, fullBytes + 1, minimumBytes]) {
      const { verdict, totalBytes } = await plan(olmoe, { weights: 'q4', gpuBytes });
      expect(verdict).toBe('streams');
      expect(totalBytes).toBeLessThanOrEqual(gpuBytes);
    }
    expect((await plan(olmoe, { weights: 'q4', gpuBytes: minimumBytes - 1 })).verdict).toBe('does-not-fit');
  });

  // A token's experts are bound together: where that is impossible, the plan says so instead of failing at the first token.
  it('are named where not even a token can run', async () => {
    const limits = { maxBufferSize: 24 * MIB, maxStorageBufferBindingSize: 24 * MIB };
    const wishes = { limits, weights: 'q4', contextLength: 1024, prefillChunk: 64 } as const;
    const error = await plan(olmoe, wishes).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(OutOfBudget);
    expect((error as OutOfBudget).message).toMatch(/^9 of the .* take \d+ bytes, more than this GPU binds at once/);
  });
});

describe('a budget', () => {
  const options = { limits: DESKTOP, weights: 'q4', contextLength: 1024 } as const;

  it('of fullBytes makes the model resident, a byte less makes it stream', async () => {
    const { fullBytes } = await plan(olmoe, { ...options, gpuBytes: 2e9 });
    const at = await plan(olmoe, { ...options, gpuBytes: fullBytes });
    expect([at.verdict, at.mode, at.totalBytes, at.bytes.staging]).toEqual(['tight', 'resident', fullBytes, 0]);
    expect(at.slots.count).toBe(at.slots.experts);
    const below = await plan(olmoe, { ...options, gpuBytes: fullBytes - 1 });
    expect(below.verdict).toBe('streams');
    expect(below.bytes.staging).toBeGreaterThan(0);
    expect(below.slots.count).toBeLessThan(below.slots.experts);
    expect(below.fullBytes).toBe(fullBytes);
  });

  it('of minimumBytes is enough, a byte less is not', async () => {
    const { minimumBytes, slots } = await plan(olmoe, { ...options, gpuBytes: 2e9 });
    expect(slots.minimum).toBe(9);
    const at = await plan(olmoe, { ...options, gpuBytes: minimumBytes });
    expect([at.verdict, at.totalBytes, at.slots.count]).toEqual(['streams', minimumBytes, 9]);
    const below = await plan(olmoe, { ...options, gpuBytes: minimumBytes - 1 });
    expect([below.verdict, below.minimumBytes]).toEqual(['does-not-fit', minimumBytes]);
  });

  it('is used up to less than a slot, and more of it makes tokens faster', async () => {
    const { minimumBytes, fullBytes } = await plan(olmoe, options);
    let before = { count: 0, speed: 0 };
    for (let i = 0; i <= 8; i++) {
      const gpuBytes = Math.floor(minimumBytes + ((fullBytes - minimumBytes) * i) / 8);
      const p = await plan(olmoe, { ...options, gpuBytes });
      expect(p.totalBytes).toBeLessThanOrEqual(gpuBytes);
      if (p.verdict === 'streams') expect(gpuBytes - p.totalBytes).toBeLessThan(p.slots.bytesEach);
      expect(p.bytes.experts).toBe(p.slots.count * p.slots.bytesEach);
      expect(p.totalBytes).toBe(Object.values(p.bytes).reduce((a, b) => a + b, 0));
      expect(p.slots.count).toBeGreaterThan(before.count);
      expect(p.tokensPerSecond).toBeGreaterThan(before.speed);
      before = { count: p.slots.count, speed: p.tokensPerSecond! };
    }
  });

  it('gives way to expertsResident', async () => {
    for (const expertsResident of [0, 0.25, 0.5]) {
      const p = await plan(olmoe, { ...options, expertsResident });
      expect(p.slots.count).toBe(Math.max(9, 1024 * expertsResident));
      expect(p.verdict).toBe('streams');
    }
    const all = await plan(olmoe, { ...options, expertsResident: 1 });
    expect([all.verdict, all.slots.count]).toEqual(['fits', 1024]);
    const over = await plan(olmoe, { ...options, gpuBytes: 1e9, expertsResident: 0.5 });
    expect(over.verdict).toBe('does-not-fit');
  });

  it('says nothing of speed when it cannot', async () => {
    const p = await plan(olmoe, { ...options, gpuBytes: 2e9, hardware: null });
    expect(p.tokensPerSecond).toBeNull();
    expect(p.mode).not.toBe('resident');
  });
});

test.each(thinned(PUBLISHED, 4))('%s is planned in every precision or told why not', async (name) => {
  const config = Object.fromEntries(Object.entries(published(name)).filter(([key]) => key !== 'quantization_config'));
  const found = await inspect(hollowSource(config), DESKTOP, { gpuBytes: 24e9, contextLength: 2048 });
  expect(found.checkpointBytes).toBeGreaterThan(0.99 * 2 * found.parameters.total);
  expect(found.checkpointBytes).toBeLessThanOrEqual(2 * found.parameters.total);
  expect(found.parameters.active).toBeLessThan(found.parameters.total);
  const sizes = Object.values(found.fit).map((f) => (f.verdict === 'impossible' ? Infinity : f.fullBytes));
  expect([...sizes].sort((a, b) => b - a)).toEqual(sizes); // as-is, q8, q4
  for (const fit of Object.values(found.fit))
    if (fit.verdict === 'impossible') expect(fit.why).toMatch(/binds at once/);
});

test('an unsupported quantisation is named', async () => {
  const config = { ...published('deepseek-v3'), quantization_config: { quant_method: 'aqlm' } };
  const error = await inspect(hollowSource(config), DESKTOP).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(UnsupportedModel);
  expect((error as UnsupportedModel).message).toContain('"aqlm"');
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
    ['expertsResident', -0.01],
    ['expertsResident', 1.01],
    ['expertsResident', NaN],
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
