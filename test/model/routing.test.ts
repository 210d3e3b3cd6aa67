/**
 * What routing can do beside choosing, through a whole model: predict the next MoE layer's choice, against that layer's router run by itself on the
 * same hidden state; and obey approximate parameters.
 */
import { describe, expect, it } from 'vitest';
import type { ModelConfig } from '../../src/config/model-config.ts';
import { Forward, type ForwardOptions } from '../../src/engine/forward.ts';
import { DEFAULT_DEVICE_LIMITS, openModel, planOpened } from '../../src/engine/open.ts';
import { expertSpecs } from '../../src/engine/describe/specs.ts';
import { midStride, moeLayers, slotTableStride } from '../../src/engine/activations.ts';
import { Uploader, type DeviceWeights } from '../../src/engine/upload.ts';
import { subview, wholeBuffer } from '../../src/gpu/buffer.ts';
import type { Gpu } from '../../src/gpu/gpu.ts';
import { Recorder, type Program } from '../../src/gpu/recording.ts';
import { EXACT, STEP_BYTES, writeStep, type ApproximateParams } from '../../src/gpu/step.ts';
import { predictedAt, predictedIds, route, routedBytes, type RouteShape } from '../../src/kernels/moe/route.ts';
import type { DeviceRouter } from '../../src/kernels/moe/router_block.ts';
import { ExpertHomes } from '../../src/moe/homes.ts';
import { pathSource } from '../../src/weights/node-source.ts';
import { openModelGpu } from '../support/gpu.ts';
import { thinned } from '../support/everyday.ts';
import { fixturePath } from '../support/models.ts';

const shared = await openModelGpu();

interface Loaded {
  readonly gpu: Gpu;
  readonly config: ModelConfig;
  readonly weights: DeviceWeights;
  forward(options: ForwardOptions): Promise<Forward>;
}

async function load(fixture: string): Promise<Loaded> {
  const gpu = shared.share();
  const opened = await openModel(pathSource(fixturePath(fixture)));
  const { spec, plan } = planOpened(opened, DEFAULT_DEVICE_LIMITS, 'as-is', { contextLength: 8, prefillChunk: 4 });
  const { config } = opened;
  const experts = expertSpecs(spec);
  const homes = await ExpertHomes.create(
    gpu,
    plan.arenas,
    experts.map((x) => x.slot),
    slotTableStride(config),
  );
  const uploader = new Uploader(gpu, () => undefined);
  const weights = await uploader.model(spec, plan, homes, async (layer) => {
    const first = plan.arenas.find((a) => a.layers.includes(layer))!.layers.indexOf(layer) * experts[layer]!.count;
    for (let e = 0; e < experts[layer]!.count; e++) {
      await uploader.expert(experts[layer]!, e, homes.slotView(layer, first + e));
      homes.setSlot(layer, e, first + e);
    }
  });
  const forward = (options: ForwardOptions): Promise<Forward> =>
    Forward.create(gpu, config, plan, weights, homes, options);
  return { gpu, config, weights, forward };
}

async function run(gpu: Gpu, program: Program): Promise<void> {
  const encoder = gpu.device.createCommandEncoder();
  program.encode(encoder, { tokens: 1, position: 0 });
  gpu.submit(encoder.finish());
  await gpu.idle();
}

/** One token through the model; the routing log as words. */
async function decode(gpu: Gpu, forward: Forward, approximate?: ApproximateParams): Promise<Uint32Array> {
  gpu.write(forward.ids, Uint32Array.of(5));
  forward.setStep(1, 0, undefined, approximate);
  await run(gpu, (await forward.body('one')).program);
  return new Uint32Array(await gpu.read(forward.logs.one.view));
}

/** The router by itself, on the input that MoE layer `m` had when a token went through the forward pass made last. */
async function choose(gpu: Gpu, m: number, router: DeviceRouter, shape: Omit<RouteShape, 'block'>): Promise<number[]> {
  const { block, view } = router;
  const make = (label: string, bytes: number, usage = 0): ReturnType<typeof wholeBuffer> =>
    wholeBuffer(gpu.createBuffer(label, 'staging', bytes, usage));
  const mids = [...gpu.ledger.liveBuffers].filter(({ label }) => label === 'mids').at(-1)!;
  const input = subview(wholeBuffer(mids), m * midStride(block.hidden), 4 * block.hidden);
  const routed = make('routed', routedBytes(1, shape.topK));
  const step = make('step', STEP_BYTES, GPUBufferUsage.UNIFORM);
  gpu.write(step, new Uint8Array(writeStep(new ArrayBuffer(STEP_BYTES), 1, 0)));
  const recorder = new Recorder(gpu, step);
  const sharedWeight = block.sharedGate ? { sharedWeight: make('shared weight', 4) } : {};
  const normed = make('normed', 4 * block.hidden);
  route(recorder, 'route', { x: input, router: view, normed, routed, ...sharedWeight }, { ...shape, block });
  await run(gpu, await recorder.finish());
  return [...new Uint32Array(await gpu.read(routed)).subarray(0, shape.topK)];
}

// A dense layer in between, groups with a shared expert, a logit bias, a router in 4 bits.
const FIXTURES = ['families/qwen3-moe', 'families/deepseek-v3', 'families/gpt-oss', 'formats/qwen3-moe-ct-int4'];

describe.each(thinned(FIXTURES, 6))('%s', (fixture) => {
  it('predicts with the next router, and routes as without', async () => {
    const { gpu, config, weights, forward } = await load(fixture);
    const isMoe = config.layers.map((l) => l.ffn.kind === 'moe');
    const moes = moeLayers(config);
    const [exact, predicting] = [await forward({}), await forward({ predict: true })];
    const plain = await decode(gpu, exact);
    const full = await decode(gpu, predicting);
    const { slices } = predicting.logs.one;
    expect(exact.logs.one.slices.map((s) => s.predicted)).toEqual(moes.map(() => 0));
    // Every layer of a fixture has the same kind of router, and the last has no successor.
    expect(slices.map((s) => s.predicted)).toEqual(
      moes.map(({ topK, experts }, m) => (m + 1 < moes.length ? predictedIds(topK, experts) : 0)),
    );
    for (const { offset, topK, predicted } of slices) {
      const [at, end] = [offset / 4, (offset + predictedAt(1, topK)) / 4];
      expect(full.subarray(at, end)).toEqual(plain.subarray(at, end));
      const ids = [...full.subarray(end, end + predicted)];
      expect(new Set(ids).size).toBe(predicted);
    }

    for (const [m, slice] of slices.entries()) {
      if (!slice.predicted) continue;
      const at = isMoe.flatMap((moe, i) => (moe ? [i] : []))[m]!;
      const next = weights.layers[isMoe.indexOf(true, at + 1)]!.ffn;
      if (next.kind !== 'moe') throw new Error('not a MoE layer');
      const chosen = await choose(gpu, m, next.router, {
        topK: slice.predicted,
        router: moes[m]!.router,
        eps: config.normEps,
      });
      const from = (slice.offset + predictedAt(1, slice.topK)) / 4;
      expect([...full.subarray(from, from + slice.predicted)]).toEqual(chosen);
    }
    gpu.dispose();
  });

  it('is exact until a step asks for approximations', async () => {
    const { gpu, forward } = await load(fixture);
    const exact = await forward({});
    const plain = await decode(gpu, exact);
    const approximate = await forward({ approximate: true });
    expect(await decode(gpu, approximate)).toEqual(plain);
    const thinned = await decode(gpu, approximate, { ...EXACT, keepExperts: 1 });
    for (const [m, { offset, topK }] of approximate.logs.one.slices.entries()) {
      const at = offset / 4;
      expect(new Set(thinned.subarray(at, at + topK)).size).toBe(1);
      const weights = new Float32Array(thinned.slice(at + topK, at + 2 * topK).buffer);
      expect([...weights.subarray(1)]).toEqual(Array(topK - 1).fill(0));
      if (m > 0) continue; // later layers see another hidden state
      expect(thinned[at]).toBe(plain[at]);
      const whole = new Float32Array(plain.slice(at + topK, at + 2 * topK).buffer).reduce((a, b) => a + b, 0);
      expect(weights[0]! / whole).toBeCloseTo(1, 5);
    }
    gpu.dispose();
  });
});
