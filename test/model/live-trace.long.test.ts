/** A live trace of a model, against the trace of the finished run. */
import { expect, it } from 'vitest';
import type { GenerateSummary } from '../../src/engine/generation.ts';
import { checkTrace } from '../../src/trace/check-trace.ts';
import { LiveTrace } from '../../src/trace/live.ts';
import { expertBytesOf, traceOf } from '../../src/trace/of-run.ts';
import { openModelGpu } from '../support/gpu.ts';
import { fixturePath, withModel } from '../support/models.ts';

const gpu = await openModelGpu();

it('tells of prompt and answer what the summary tells at the end', async () => {
  await withModel(gpu, fixturePath('families/olmoe'), { contextLength: 64, prefillChunk: 8 }, async (model) => {
    const facts = { name: 'olmoe', expertBytes: expertBytesOf(model.plan) };
    const live = new LiveTrace({ ...facts, layers: 2, experts: 16, topK: 4 });
    const stop = model.onStep((event) => live.step(event), 'ids');
    const ids = Array.from({ length: 11 }, (_, n) => (n * 37) % 256);
    live.begin({ name: 'one', domain: null });
    const rows: number[] = [];
    const logprobs: number[] = [];
    const running = model.generate(
      { ids },
      {
        routing: 'logits',
        promptRouting: true,
        onPromptRouting: (chunk) => live.prompt(chunk),
        maxTokens: 5,
        ignoreEnd: true,
      },
    );
    let summary: GenerateSummary | null = null;
    while (!summary) {
      const { value, done } = await running.next();
      if (done) summary = value;
      else {
        live.token(value);
        logprobs.push(value.logprob);
        rows.push(live.snapshot().tokens!.length);
      }
    }
    stop();
    expect(rows).toEqual([11, 12, 13, 14, 15]); // the whole prompt is there before the first token

    const trace = checkTrace(live.snapshot());
    const whole = traceOf(summary, facts, { logprobs });
    expect(trace.steps.map((s) => [s.phase, s.position, s.tokens])).toEqual([
      ['prefill', 0, 8],
      ['prefill', 8, 3],
      ...[11, 12, 13, 14].map((position) => ['decode', position, 1]),
    ]);
    for (const part of ['ids', 'weights', 'tokens', 'logits', 'logprobs'] as const)
      expect(trace[part]).toEqual(whole[part]);
    expect(trace.timing!.ms.every((ms) => ms > 0)).toBe(true);
    expect(trace.origins!.subarray(11 * 8).every((o) => o > 0)).toBe(true);
    await expect(
      model.generate({ ids }, { routing: 'counts', onPromptRouting: () => undefined }).next(),
    ).rejects.toThrow(/onPromptRouting needs/);
  });
});
