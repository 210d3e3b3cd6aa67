/** What a longer context costs: keys and values, latents, their formats; recorded on paper, at published sizes. */
import { describe, expect, it } from 'vitest';
import { costSheet, type CostSheet } from '../../../../src/engine/cost/cost-sheet.ts';
import { totalCost, type DispatchCost } from '../../../../src/engine/cost/program-cost.ts';
import { openModel, planOpened, type PlannedModel } from '../../../../src/engine/open.ts';
import { InvalidRequest } from '../../../../src/errors.ts';
import type { KvFormat } from '../../../../src/config/kv-format.ts';
import { sum } from '../../../../src/util/math.ts';
import { hollowSource } from '../../../support/hollow.ts';
import { published, type JsonObject } from '../../config/published.ts';

const LIMITS = { maxBufferSize: 2 ** 50, maxStorageBufferBindingSize: 2 ** 50 };
const CONTEXT = 8192;
const SPLIT = 128;

interface Planned {
  readonly planned: PlannedModel;
  readonly sheet: () => Promise<CostSheet>;
}

async function plannedOf(name: string, kv: KvFormat, json: JsonObject = {}): Promise<Planned> {
  const opened = await openModel(hollowSource({ ...published(name), num_hidden_layers: 2, ...json }));
  const planned = planOpened(opened, LIMITS, 'q4', { gpuBytes: 2 ** 50, contextLength: CONTEXT, kv });
  return { planned, sheet: () => costSheet(opened, planned, 'gpu') };
}

const LAYERS = 2;
/** Bytes of a token in one layer: heads of keys and values, with int8 a scale each; a latent and the rope key of all heads. */
const ROWS: [string, KvFormat, number][] = [
  ['qwen3-30b-a3b', 'f32', 4 * 2 * 128 * 4],
  ['qwen3-30b-a3b', 'f16', 4 * 2 * 128 * 2],
  ['qwen3-30b-a3b', 'int8', 4 * 2 * (128 + 4)],
  ['deepseek-v2-lite', 'f32', 576 * 4], // expanded: 16 (192 + 128) values
  ['deepseek-v2-lite', 'f16', 576 * 2],
  ['deepseek-v2-lite', 'int8', 576 + 4],
];

describe.each(ROWS)('%s, %s', (name, kv, row) => {
  it('a token of the context takes so many bytes of the plan, and of what a later token reads', async () => {
    const { planned, sheet } = await plannedOf(name, kv);
    expect(planned.plan.bytes.kv).toBe(LAYERS * CONTEXT * row);
    const { token } = await sheet();
    for (const position of [0, 63, 700, 8191]) {
      const costs = token(position);
      expect(totalCost(costs).kvBytes).toBe(LAYERS * (position + 1) * row);
    }
  });
});

describe.each(['qwen3-30b-a3b', 'deepseek-v2-lite'])('%s', (name) => {
  it('from 64 tokens to 8,192 a token costs what its keys cost, without steps', async () => {
    const { token } = await (await plannedOf(name, 'f32')).sheet();
    const ofAttention = (costs: readonly DispatchCost[]): DispatchCost[] =>
      costs.filter((c) => / attend/.test(c.label));
    const rest = (costs: readonly DispatchCost[]) => totalCost(costs.filter((c) => !/ attend/.test(c.label)));
    const constant = rest(token(63));
    const attended = (position: number) => totalCost(ofAttention(token(position)));
    // Work of one split more, and what it leaves to be joined: the same wherever it is added.
    const [a, b] = [attended(255), attended(255 + SPLIT)];
    const step = { workgroups: b.workgroups - a.workgroups, flops: b.issuedFlops - a.issuedFlops };
    for (let position = 255; position < CONTEXT; position += SPLIT) {
      const costs = token(position);
      const splits = (position - 255) / SPLIT;
      const found = totalCost(ofAttention(costs));
      expect(rest(costs)).toEqual(constant);
      expect(found.dispatches).toBe(a.dispatches);
      expect(found.workgroups).toBe(a.workgroups + splits * step.workgroups);
      expect(found.issuedFlops).toBe(a.issuedFlops + splits * step.flops);
    }
    // Within a split nothing jumps: turns of 32 keys.
    const turns = [0, 32, 64, 96, 128].map((more) => attended(255 + more).issuedFlops);
    const grown = turns.slice(1).map((flops, i) => flops - turns[i]!);
    expect(Math.max(...grown)).toBeLessThanOrEqual(step.flops);
    expect(sum(grown)).toBe(step.flops);
  });

  it('a prompt token costs the same outside attention, whatever the prompt', async () => {
    const { prompt } = await (await plannedOf(name, 'f32')).sheet();
    const head = (costs: readonly DispatchCost[]): boolean => costs.some((c) => c.label === 'head');
    const flops = [128, 512, 2048].map((tokens) => {
      const costs = prompt(tokens);
      expect(head(costs)).toBe(true);
      return totalCost(costs.filter((c) => !/ attend|^head/.test(c.label))).usefulFlops / tokens;
    });
    expect(Math.max(...flops) / Math.min(...flops)).toBeLessThan(1 + 1e-9);
  });
});

it('refuses a format that rows cannot be packed in, and one that does not exist', async () => {
  const odd = { head_dim: 50, num_attention_heads: 4, num_key_value_heads: 4 };
  await expect(plannedOf('qwen3-30b-a3b', 'f16', odd)).rejects.toThrow(/multiples of four/);
  await expect(plannedOf('qwen3-30b-a3b', 'int4' as KvFormat)).rejects.toThrow(InvalidRequest);
  await expect(plannedOf('qwen3-30b-a3b', 'f32', odd)).resolves.toBeDefined();
});
