import { describe, expect, it } from 'vitest';
import { layerGrads, runLayer, type LayerInput } from '../../../src/reference/layer/layer.ts';
import { normals } from '../../support/random.ts';
import { caseData, pairwiseCover, type CaseData } from '../../support/layer-cases.ts';

const { cases, impossible } = pairwiseCover();

const both = (a: string, b: string): string[] => a.split(' ').flatMap((u) => b.split(' ').map((v) => `${u} ${v}`));
/** Pairs that no layer may have: see src/layer/check-options.ts. */
const REFUSED = [
  ...both('router=experts router=hash router=random', 'second=gumbel second=gshard groups=max groups=top2'),
  ...both('router=experts router=hash router=random', 'noise=rsample noise=noisy'),
  ...both(
    'router=experts',
    'k=two k=three capacity=undropped drop=probs drop=rts drop=tokens zero=nothing zero=identity',
  ),
  ...both('k=one k=three', 'second=gumbel second=gshard'),
  ...both('noise=noisy', 'groups=max groups=top2 second=gumbel second=gshard'),
  ...both('groups=max groups=top2', 'second=gumbel'),
  'weights=uniform norm=kept',
];

/** dout . out + the weighted losses. */
function objective(input: LayerInput, { plan, step, settings, dout }: CaseData): number {
  const { out, losses } = runLayer(input, plan.shape, step, settings);
  const weighted = Object.entries(settings.coef).reduce((sum, [name, coef]) => sum + coef * losses[name]!, 0);
  return out.reduce((sum, v, i) => sum + v * dout[i]!, weighted);
}

const inner = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, v, i) => sum + v * b[i]!, 0);
const moved = (values: ArrayLike<number>, along: ArrayLike<number>, by: number): Float64Array =>
  Float64Array.from(values, (v, i) => v + by * along[i]!);

/** Central differences along a direction: of x, of the router, of all matrices of all experts. */
function slopes(
  data: CaseData,
  seed: number,
): { readonly name: string; readonly got: number; readonly want: number }[] {
  const { input, plan, step, settings, dout } = data;
  const run = runLayer(input, plan.shape, step, settings);
  const grads = layerGrads(input, run, dout, plan.shape, step, settings);
  const EPS = 1e-6;
  const slope = (at: (by: number) => LayerInput): number =>
    (objective(at(EPS), data) - objective(at(-EPS), data)) / (2 * EPS);
  const dx = normals(seed, input.x.length);
  const dr = normals(seed + 1, input.router.length);
  const de = input.ffns.map(({ gateUp, down }, e) => ({
    gateUp: normals(seed + 2 + e, gateUp.length),
    down: normals(seed + 102 + e, down.length),
  }));
  const experts = (by: number): LayerInput['ffns'] =>
    input.ffns.map(({ gateUp, down }, e) => ({
      gateUp: moved(gateUp, de[e]!.gateUp, by),
      down: moved(down, de[e]!.down, by),
    }));
  return [
    { name: 'x', got: inner(grads.x, dx), want: slope((by) => ({ ...input, x: moved(input.x, dx, by) })) },
    {
      name: 'router',
      got: inner(grads.router, dr),
      want: slope((by) => ({ ...input, router: moved(input.router, dr, by) })),
    },
    {
      name: 'experts',
      got: grads.ffns.reduce((sum, g, e) => sum + inner(g.gateUp, de[e]!.gateUp) + inner(g.down, de[e]!.down), 0),
      want: slope((by) => ({ ...input, ffns: experts(by) })),
    },
  ];
}

describe('gradients of a standalone layer', () => {
  it('are looked at for every two values of two knobs that go together', () => {
    expect(cases.length).toBeGreaterThan(20);
    expect(impossible.sort()).toEqual(REFUSED.sort());
  });

  it.each(cases)('$name', (layerCase) => {
    const data = caseData(layerCase);
    for (const seed of [1000, 2000]) {
      for (const { name, got, want } of slopes(data, seed))
        expect(Math.abs(got - want), `${name}: ${got}, by differences ${want}`).toBeLessThan(
          1e-4 * (1 + Math.abs(want)),
        );
    }
  });
});
