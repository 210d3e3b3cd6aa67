import { describe, expect, it } from 'vitest';
import { createMoELayer, DROPPED, type MoELayerOptions } from '../../../src/layer/index.ts';
import { layerOn } from '../../../src/layer/open.ts';
import { philox } from '../../../src/reference/layer/philox.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

const SIZE = { hidden_size: 6, intermediate_size: 4, num_experts: 4, max_tokens: 32 } as const;
const x = normals(1, 20 * 6);

const open = (options: Partial<MoELayerOptions> = {}): ReturnType<typeof createMoELayer> =>
  layerOn(gpu.share(), { ...SIZE, ...options });

describe('createMoELayer', () => {
  it('draws by seed and step alone', async () => {
    const options = { noisy_gate_policy: 'RSample', capacity_factor: 0.5, use_rts: true, seed: 3 } as const;
    const [one, two, other] = await Promise.all([open(options), open(options), open({ ...options, seed: 4 })]);
    await other.write(await one.read());
    const told = async (layer: typeof one, step?: number): Promise<number[]> => {
      const { dispatch } = await layer.forward(x, { training: true, ...(step === undefined ? {} : { step }) });
      return [...dispatch.experts, ...dispatch.positions];
    };
    const first = await told(one);
    const second = await told(one);
    expect(second).not.toEqual(first);
    expect(await told(two, 1)).toEqual(second);
    expect(await told(two, 0)).toEqual(first);
    expect(await told(other, 0)).not.toEqual(first);
    const bits = await one.forward(x, { training: true, step: 9 }).then(() => one.readOutput());
    await two.forward(x, { training: true, step: 9 });
    expect(await two.readOutput()).toEqual(bits);
    for (const layer of [one, two, other]) layer.dispose();
  });

  it('draws nothing outside training', async () => {
    const layer = await open({ k: 2, noisy_gate_policy: 'RSample', second_expert_policy: 'random' });
    const { dispatch } = await layer.forward(x, { step: 1 });
    const again = await layer.forward(x, { step: 2 });
    expect([...again.dispatch.experts]).toEqual([...dispatch.experts]);
    expect(dispatch.dropped).toBe(0);
    layer.dispose();
  });

  it('reads and writes buffers of the app, and leaves its device alone', async () => {
    const layer = await createMoELayer(gpu.device, { ...SIZE, k: 2 });
    const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const theirs = gpu.device.createBuffer({ size: x.byteLength, usage });
    gpu.device.queue.writeBuffer(theirs, 0, x);
    await layer.forward(x);
    const wanted = await layer.readOutput();
    await layer.backward(x);
    const grads = await layer.readGradients();
    await layer.forward(theirs, { tokens: 20 });
    expect(await layer.readOutput()).toEqual(wanted);
    await layer.backward(theirs);
    expect(await layer.readGradients()).toEqual(grads);
    expect(layer.buffers.output.size).toBe(32 * 6 * 4);
    layer.dispose();
    gpu.device.queue.writeBuffer(theirs, 0, x);
    await gpu.idle();
    theirs.destroy();
  });

  it('takes calls one after the other', async () => {
    const layer = await open({ k: 2 });
    const parts = [x.slice(0, 60), x.slice(60)];
    const apart = [];
    for (const part of parts) apart.push((await layer.forward(part)).dispatch.experts);
    const together = await Promise.all(parts.map((part) => layer.forward(part)));
    expect(together.map((run) => run.dispatch.experts)).toEqual(apart);
    layer.dispose();
  });

  it('gives back what was written', async () => {
    const layer = await open({ noisy_gate_policy: 'NoisyTopK', use_residual: true, n_shared_experts: 1 });
    const before = await layer.read();
    expect(Object.fromEntries(Object.entries(before).map(([name, values]) => [name, values.length]))).toEqual({
      router: 24,
      noise: 24,
      coefficient: 12,
      gate_proj: 6 * 24,
      up_proj: 6 * 24,
      down_proj: 6 * 24,
    });
    const up_proj = normals(5, 6 * 24);
    const noise = normals(6, 24);
    await layer.write({ up_proj, noise });
    expect(await layer.read()).toEqual({ ...before, up_proj, noise });
    layer.dispose();
  });

  it('drops by first come, first served, and says where', async () => {
    const layer = await open({ num_experts: 2, hidden_size: 1, intermediate_size: 1, capacity_factor: 0.8 });
    await layer.write({ router: Float32Array.of(1, -1) });
    const run = await layer.forward(Float32Array.of(1, 1, -1, 1, 1));
    expect(run.capacity).toBe(2); // ceil(5 / 2 * 0.8)
    expect([...run.dispatch.experts]).toEqual([0, 0, 1, 0, 0]);
    expect([...run.dispatch.positions]).toEqual([0, 1, 0, DROPPED, DROPPED]);
    expect([...run.exp_counts]).toEqual([4, 1]);
    expect([...run.kept_counts]).toEqual([2, 1]);
    expect(run.output).toBe(layer.buffers.output);
    const output = await layer.readOutput();
    expect([...output.subarray(3)]).toEqual([0, 0]);
    layer.dispose();
  });

  it.each<[RegExp, (layer: Awaited<ReturnType<typeof open>>) => Promise<unknown>]>([
    [/33 tokens; give 1 to max_tokens 32/, (layer) => layer.forward(normals(1, 33 * 6))],
    [/0 tokens/, (layer) => layer.forward(new Float32Array(0))],
    [/does not hold 3 tokens/, (layer) => layer.forward(normals(1, 12), { tokens: 3 })],
    [/sequence_length 0/, (layer) => layer.forward(normals(1, 12), { sequence_length: 0 })],
    [/backward needs a forward/, (layer) => layer.backward(normals(1, 12))],
    [/nothing has run/, (layer) => layer.readOutput()],
    [/router has 3 values in place of 24/, (layer) => layer.write({ router: normals(1, 3) })],
    [/no weight w1/, (layer) => layer.write({ w1: normals(1, 3) } as object)],
    [/2 biases in place of 4/, (layer) => layer.writeCorrectionBias(normals(1, 2))],
  ])('refuses %s', async (message, call) => {
    const layer = await open();
    await expect(async () => call(layer)).rejects.toThrow(message);
    await layer.forward(x); // still usable
    layer.dispose();
  });

  it('needs token_ids for the router hash, and repeats its choice for a token', async () => {
    const layer = await open({ router: 'hash', k: 2 });
    await expect(async () => layer.forward(x)).rejects.toThrow(/token_ids/);
    const token_ids = Uint32Array.from({ length: 20 }, (_, t) => t % 3);
    const { dispatch } = await layer.forward(x, { token_ids });
    for (let t = 3; t < 20; t++)
      expect([...dispatch.experts.subarray(2 * t, 2 * t + 2)]).toEqual([
        ...dispatch.experts.subarray(2 * (t % 3), 2 * (t % 3) + 2),
      ]);
    layer.dispose();
  });

  it('says which buffer is too large for the device', async () => {
    await expect(open({ intermediate_size: 4096, hidden_size: 4096 })).rejects.toMatchObject({
      name: 'OutOfBudget',
      message: expect.stringMatching(/arena takes \d+ bytes, and this device binds \d+/),
    });
  });
});

// Of the authors' known answers (Random123, kat_vectors).
it.each([
  [
    [0, 0, 0, 0],
    [0, 0],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  ],
  [
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
] as const)('Philox of %j', (counter, key, want) => {
  expect(philox(counter, key)).toEqual(want);
});
