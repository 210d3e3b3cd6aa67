import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { LayerStep } from '../../../src/config/moe-layer.ts';
import { capacityOf } from '../../../src/layer/capacity.ts';
import { planLayer, type MoELayerOptions } from '../../../src/layer/options.ts';
import { runLayer, type LayerInput } from '../../../src/reference/layer/layer.ts';

/** Made by reference.py beside this file. */
interface Recorded {
  readonly name: string;
  readonly kept: readonly (readonly number[])[]; // [T][G]
  readonly weights: readonly (readonly number[])[]; // [T][G]
  readonly out: readonly (readonly number[])[]; // [T][D]
  readonly losses: Readonly<Record<string, number>>;
  readonly capacity?: number;
}
const recorded = JSON.parse(readFileSync('test/fixtures/moe-layer.json', 'utf8')) as readonly Recorded[];

const [T, D, F, SEED, STEP] = [12, 6, 4, 21, 5];

/** The numbers of `made_up` in reference.py. */
const madeUp = (rows: number, columns: number, a: number, b: number, size: number): Float64Array =>
  Float64Array.from({ length: rows * columns }, (_, i) => {
    const [r, c] = [Math.floor(i / columns), i % columns];
    return ((((r * a + c * b + r * c * 11 + r * r * 3) % 127) - 63) * size) / 64;
  });

function expert(e: number): LayerInput['ffns'][number] {
  const [gate, up] = [madeUp(F, D, 17 + e, 29, 0.5), madeUp(F, D, 41, 23 + e, 0.5)];
  const gateUp = Float64Array.from({ length: 2 * F * D }, (_, i) => {
    const row = Math.floor(i / D);
    return (row % 2 ? up : gate)[Math.floor(row / 2) * D + (i % D)]!;
  });
  return { gateUp, down: madeUp(D, F, 31 + 2 * e, 19, 0.5) };
}

const DEEPSPEED_1 = { num_experts: 5, capacity_factor: 1 } as const;
const DEEPSPEED_2 = { num_experts: 4, k: 2, norm_topk_prob: 'after_drop' } as const;
const GSHARD = {
  num_experts: 4,
  k: 2,
  norm_topk_prob: true,
  capacity_factor: 0.75,
  second_expert_policy: 'random',
} as const;
const OPTIONS: Readonly<Record<string, Partial<MoELayerOptions>>> = {
  'deepspeed top-1': DEEPSPEED_1,
  'deepspeed top-1, min_capacity': { ...DEEPSPEED_1, capacity_factor: 0.1, min_capacity: 2 },
  'deepspeed top-1, RSample, use_rts': {
    ...DEEPSPEED_1,
    capacity_factor: 0.6,
    noisy_gate_policy: 'RSample',
    use_rts: true,
  },
  'deepspeed top-2': { ...DEEPSPEED_2, capacity_factor: 0.75 },
  'deepspeed top-2, second expert sampled': { ...DEEPSPEED_2, capacity_factor: 0.6, top2_2nd_expert_sampling: true },
  gshard: GSHARD,
  'expert choice': { num_experts: 4, router: 'expert_choice' },
  'deepseek-v3': {
    num_experts: 8,
    k: 3,
    scoring_func: 'sigmoid',
    n_group: 4,
    topk_group: 2,
    group_rank: 'top2-sum',
    norm_topk_prob: true,
    routed_scaling_factor: 2.5,
    n_shared_experts: 1,
    num_devices: 4,
  },
  'noisy top-k': { num_experts: 6, k: 2, noisy_gate_policy: 'NoisyTopK' },
  'pr-moe with jitter': { num_experts: 4, use_residual: true, router_jitter_noise: 0.25 },
  'identity experts': { num_experts: 4, k: 2, zero_expert_num: 2, zero_expert_type: 'identity' },
  'deepspeed top-2, capacity 1': { ...DEEPSPEED_2, capacity_factor: 0.01 },
  'gshard, capacity 1': { ...GSHARD, capacity_factor: 0.01 },
  ...atEdge('zero'),
  ...atEdge('equal'),
};

/** All tokens are 0, so that all scores tie; or all are equal, so that all go to one expert. */
function atEdge(what: 'zero' | 'equal'): Record<string, Partial<MoELayerOptions>> {
  return {
    [`deepspeed top-1; ${what}`]: DEEPSPEED_1,
    [`deepspeed top-1, by lot; ${what}`]: { ...DEEPSPEED_1, use_rts: true },
    [`deepspeed top-2; ${what}`]: { ...DEEPSPEED_2, capacity_factor: 0.75 },
    [`gshard; ${what}`]: GSHARD,
    [`expert choice; ${what}`]: { num_experts: 4, router: 'expert_choice' },
  };
}

function tokensOf(name: string): Float64Array {
  if (name.endsWith('; zero')) return new Float64Array(T * D);
  const x = madeUp(T, D, 37, 53, 1);
  return name.endsWith('; equal') ? x.map((_, i) => x[i % D]!) : x;
}

describe('the twin of a standalone layer equals NumPy', () => {
  it('for every recorded router', () => {
    expect(recorded.map((r) => r.name)).toEqual(Object.keys(OPTIONS));
  });

  it.each(recorded)('$name', (want) => {
    const options = { hidden_size: D, intermediate_size: F, num_experts: 1, seed: SEED, ...OPTIONS[want.name] };
    const { shape, capacity, devices, mostDevices, coef } = planLayer(options);
    const choices = shape.experts + shape.zeroExperts;
    const router = [
      ...madeUp(choices, D, 13, 47, 0.7),
      ...(shape.noise === 'noisy-top-k' ? madeUp(choices, D, 61, 5, 0.5) : []),
      ...(shape.residual ? madeUp(2, D, 71, 7, 0.5) : []),
    ];
    const isV3 = want.name === 'deepseek-v3';
    const input: LayerInput = {
      x: tokensOf(want.name),
      router,
      bias: isV3 ? madeUp(1, choices, 0, 59, 0.125) : new Float64Array(choices),
      ffns: Array.from({ length: shape.experts + 1 }, (_, e) => expert(e)),
    };
    const step: LayerStep = {
      tokens: T,
      training: true,
      capacity: capacity ? capacityOf(T, shape.experts, { ...capacity, factor: capacity.train }) : Infinity,
      seed: SEED,
      step: STEP,
      sequence: isV3 ? T / 2 : T,
    };
    if (want.capacity !== undefined) expect(step.capacity).toBe(want.capacity);
    const run = runLayer(input, shape, step, { devices, mostDevices, coef });
    const table = (of: (c: (typeof run.choices)[number][number]) => number): number[][] =>
      run.choices.map((row) => {
        const values = Array<number>(choices).fill(0);
        for (const choice of row) values[choice.id] = of(choice);
        return values;
      });
    expect(table((c) => Number(c.kept))).toEqual(want.kept);
    close(table((c) => c.weight).flat(), want.weights.flat());
    close([...run.out], want.out.flat());
    for (const [name, value] of Object.entries(want.losses)) close([run.losses[name]!], [value]);
  });
});

/** Recorded with nine decimals. */
function close(got: readonly number[], want: readonly number[]): void {
  expect(got.length).toBe(want.length);
  got.forEach((v, i) => expect(Math.abs(v - want[i]!)).toBeLessThan(2e-8 * (1 + Math.abs(want[i]!))));
}
