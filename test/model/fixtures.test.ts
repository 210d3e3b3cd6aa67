/** Every fixture against the values that transformers computed: routing and greedy ids exactly, logits and hidden states to 1e-3 of RMS. */
import { describe, expect, it } from 'vitest';
import { sortedRouting } from '../../src/cli/logits.ts';
import { loadOn } from '../../src/engine/load.ts';
import type { Model } from '../../src/engine/model.ts';
import { pathSource } from '../../src/weights/node-source.ts';
import { expectClose } from '../support/conformance.ts';
import { openTestGpu } from '../support/gpu.ts';
import { Golden } from '../support/golden.ts';

const FAMILIES = [
  'mixtral',
  'mixtral-sliding',
  'olmoe',
  'olmoe-clip',
  'qwen2-moe',
  'qwen3-moe',
  'glm4-moe',
  'deepseek-v2',
  'deepseek-v3',
  'gpt-oss',
];
const FORMATS = ['qwen3-moe-ct-int4', 'gpt-oss-mxfp4'];
const FIXTURES = [...FAMILIES.map((f) => `families/${f}`), ...FORMATS.map((f) => `formats/${f}`)];

/** WebGPU's guaranteed limits and no optional feature must be enough. */
const gpu = await openTestGpu({ defaultLimits: true });

async function withModel<T>(
  fixture: string,
  options: { prefillChunk?: number },
  use: (model: Model) => Promise<T>,
): Promise<T> {
  const model = await loadOn(gpu.share(), pathSource(`test/fixtures/${fixture}`), { contextLength: 128, ...options });
  try {
    return await use(model);
  } finally {
    await model.dispose();
  }
}

describe.each(FIXTURES)('%s', (fixture) => {
  const golden = new Golden(`test/fixtures/${fixture}/golden.safetensors`);
  const prompt = golden.ids('prompt_ids');

  it('gives the golden routing, logits and hidden states', async () => {
    await withModel(fixture, {}, async (model) => {
      const result = await model.logits(prompt, { hidden: true });
      if (golden.has('topk_ids')) {
        const routing = sortedRouting(result.routing, prompt.length);
        expect([...routing.ids]).toEqual(golden.ids('topk_ids'));
        expectClose(routing.weights, golden.floats('topk_weights'), 1e-3, 'routing weights');
      }
      expectClose(result.logits, golden.floats('logits'), 1e-3, 'logits');
      if (golden.has('hidden')) expectClose(result.hidden!, golden.floats('hidden'), 1e-3, 'hidden states');
    });
  });

  it('continues greedily as the golden ids do, at one submit and one readback a token', async () => {
    const expected = golden.ids('greedy_ids');
    await withModel(fixture, {}, async (model) => {
      const drawn: number[] = [];
      let warm: Model['counters'] | undefined;
      for await (const token of model.generate(
        { ids: prompt },
        { temperature: 0, maxTokens: expected.length, ignoreEnd: true },
      )) {
        drawn.push(token.id);
        warm ??= { ...model.counters };
      }
      expect(drawn).toEqual(expected);
      const steps = expected.length - 1;
      const after = model.counters;
      const layers = model.config.layers.length;
      expect(after.submits - warm!.submits).toBe(steps);
      expect(after.readbacks - warm!.readbacks).toBe(steps);
      expect(after.buffersCreated).toBe(warm!.buffersCreated);
      expect(after.bindGroupsCreated).toBe(warm!.bindGroupsCreated);
      expect(after.pipelinesCreated).toBe(warm!.pipelinesCreated);
      // Embedding, head and sampling are the three dispatches outside the layers.
      expect((after.dispatches - warm!.dispatches) / steps - 3).toBeLessThanOrEqual(12 * layers);
    });
  });

  it('gives the same logits whatever the chunks, and the same bits twice', async () => {
    const whole = await withModel(fixture, {}, async (model) => {
      const first = await model.logits(prompt);
      const second = await model.logits(prompt);
      expect(Buffer.from(first.logits.buffer).equals(Buffer.from(second.logits.buffer))).toBe(true);
      return first;
    });
    for (const prefillChunk of [1, 7]) {
      const chunked = await withModel(fixture, { prefillChunk }, (model) => model.logits(prompt));
      expectClose(chunked.logits, whole.logits, 1e-4, `chunks of ${prefillChunk}`);
    }
  });
});
