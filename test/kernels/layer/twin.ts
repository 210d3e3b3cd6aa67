/** One run of a standalone layer on the GPU, held against its twin in doubles. */
import { expect } from 'vitest';
import type { Gpu } from '../../../src/gpu/gpu.ts';
import { DROPPED, NOWHERE } from '../../../src/layer/dispatch.ts';
import { layerOn } from '../../../src/layer/open.ts';
import { layerGrads, runLayer } from '../../../src/reference/layer/layer.ts';
import { expectClose } from '../../support/conformance.ts';
import { caseData, ffnsFrom, type CaseData, type LayerCase } from '../../support/layer-cases.ts';

/** The bound of the layer's promise; f32 sums of these sizes stay two orders below it. */
const BOUND = 1e-4;

export async function checkLayer(gpu: Gpu, layerCase: LayerCase, data: CaseData = caseData(layerCase)): Promise<void> {
  const { plan, step, settings, input } = data;
  const layer = await layerOn(gpu.share(), layerCase.options);
  try {
    await layer.write(data.weights);
    await layer.writeCorrectionBias(data.bias);
    const { training, sequence } = step;
    const run = await layer.forward(data.x, {
      training,
      step: step.step,
      sequence_length: sequence,
      ...(plan.shape.chooses === 'hash' ? { token_ids: data.tokenIds } : {}),
    });
    const want = runLayer(input, plan.shape, step, settings);
    const choices = want.choices.flat();

    expect([...run.dispatch.experts], 'experts').toEqual(choices.map((c) => c.id));
    expect([...run.dispatch.positions], 'positions').toEqual(positionsOf(want.choices, plan.shape.experts));
    const kept = choices.filter((c) => c.kept);
    const count = (of: typeof choices): number[] =>
      Array.from(run.exp_counts, (_, e) => of.filter((c) => c.id === e).length);
    expect([...run.kept_counts], 'counts').toEqual(count(kept));
    expect([...run.exp_counts], 'demand').toEqual(count(plan.shape.chooses === 'experts' ? kept : choices));
    expectClose(
      run.dispatch.weights,
      choices.map((c) => c.weight),
      BOUND,
      'weights',
    );
    expectClose(await layer.readOutput(), want.out, BOUND, 'output');
    for (const [name, value] of Object.entries(run.losses))
      expect(Math.abs(value - want.losses[name]!), `${name}: ${value}, twin ${want.losses[name]}`).toBeLessThan(BOUND);

    await layer.backward(data.dout);
    const got = await layer.readGradients();
    const grads = layerGrads(input, want, data.dout, plan.shape, step, settings);
    expectClose(got.x, grads.x, BOUND, 'gradient of x');
    expectClose([...got.router, ...got.noise, ...got.coefficient], grads.router, BOUND, 'gradient of the router');
    const experts = ffnsFrom(got, plan.shape);
    for (const name of ['gateUp', 'down'] as const)
      expectClose(
        experts.flatMap((e) => [...e[name]]),
        grads.ffns.flatMap((e) => [...e[name]]),
        BOUND,
        `gradient of ${name}`,
      );
  } finally {
    layer.dispose();
  }
}

/** Places among what an expert takes, in the order of the batch. */
function positionsOf(choices: ReturnType<typeof runLayer>['choices'], experts: number): number[] {
  const taken = new Map<number, number>();
  return choices.flat().map(({ id, kept }) => {
    if (!kept) return DROPPED;
    if (id >= experts) return NOWHERE;
    const place = taken.get(id) ?? 0;
    taken.set(id, place + 1);
    return place;
  });
}
