/** What adapters that requests choose take of the budget, from headers alone. */
import { expect, test } from 'vitest';
import { inspect } from '../../../src/engine/inspect.ts';
import { plan } from '../../../src/engine/load.ts';
import { DEFAULT_DEVICE_LIMITS } from '../../../src/engine/open.ts';
import { OutOfBudget } from '../../../src/errors.ts';
import { configOf } from '../../support/configs.ts';
import { tensor } from '../../support/encodings.ts';
import { normals } from '../../support/random.ts';
import { plain, synthetic } from '../../support/synthetic.ts';
import { memorySource, safetensors, type MemorySource } from '../../support/weights.ts';

const [HIDDEN, WIDTH, RANK, CHUNK, TOP_K] = [64, 96, 3, 32, 2];
const { files } = synthetic(
  configOf('mixtral', {
    num_hidden_layers: 1,
    num_local_experts: 4,
    hidden_size: HIDDEN,
    intermediate_size: WIDTH,
    num_experts_per_tok: TOP_K,
  }),
  { encode: plain('F32') },
);
const model = (): MemorySource => memorySource(files);

/** On gate and down of two experts. */
const at = (e: number, w: string): string => `base_model.model.model.layers.0.block_sparse_moe.experts.${e}.${w}`;
const adapter = memorySource({
  'adapter_config.json': JSON.stringify({ peft_type: 'LORA', r: RANK, lora_alpha: 2, target_modules: 'all-linear' }),
  'adapter_model.safetensors': safetensors(
    Object.fromEntries(
      [0, 3].flatMap((e) =>
        (
          [
            ['w1', WIDTH, HIDDEN],
            ['w2', HIDDEN, WIDTH],
          ] as const
        ).flatMap(([w, rows, cols]) => [
          [`${at(e, w)}.lora_A.weight`, tensor('F32', [RANK, cols], normals(1, RANK * cols))],
          [`${at(e, w)}.lora_B.weight`, tensor('F32', [rows, RANK], normals(2, rows * RANK))],
        ]),
      ),
    ),
  ),
});
const options = { weights: 'as-is', contextLength: 64, prefillChunk: CHUNK } as const;

test('the plan counts them, and leaves the rest as it is', async () => {
  const [without, one, two] = [
    await plan(model(), options),
    await plan(model(), { ...options, adapters: { one: adapter } }),
    await plan(model(), { ...options, adapters: { one: adapter, two: adapter } }),
  ];
  expect(without.bytes.adapters).toBe(0);
  expect({ ...one.bytes, adapters: 0 }).toEqual(without.bytes);
  expect(one.totalBytes - without.totalBytes).toBe(one.bytes.adapters);
  // By hand: places of four experts; of two of them A of gate and up, B of both, A and B of down.
  const values = 2 * RANK * HIDDEN + RANK * 2 * WIDTH + RANK * WIDTH + RANK * HIDDEN;
  expect(two.bytes.adapters - one.bytes.adapters).toBe(4 * 4 + 4 * 2 * values);
});

test('inspect counts them; a budget that they exceed is not enough', async () => {
  const adapters = { mine: adapter };
  const { fit } = await inspect(model(), DEFAULT_DEVICE_LIMITS, { ...options, adapters });
  const planned = await plan(model(), { ...options, adapters });
  expect(fit['as-is']).toMatchObject({ bytes: planned.bytes, totalBytes: planned.totalBytes });
  const { minimumBytes } = await plan(model(), options);
  expect((await plan(model(), { ...options, gpuBytes: minimumBytes })).verdict).not.toBe('does-not-fit');
  expect((await plan(model(), { ...options, adapters, gpuBytes: minimumBytes })).verdict).toBe('does-not-fit');
});

test('a buffer of theirs that cannot be bound is refused', async () => {
  // The products of gate and up, which only an adapter keeps apart, are the largest buffer of a step.
  const pairs = 4 * 512 * TOP_K * 2 * WIDTH;
  const limits = { maxStorageBufferBindingSize: pairs - 4, maxBufferSize: pairs - 4 };
  const long = { ...options, contextLength: 512, prefillChunk: 512, limits };
  await plan(model(), long);
  const refused = plan(model(), { ...long, adapters: { mine: adapter } });
  await expect(refused).rejects.toThrow(OutOfBudget);
  await expect(refused).rejects.toThrow(new RegExp(`would need ${pairs} bytes in one buffer`));
});
