/** GraniteMoE-SWA: Granite 3 with a shared expert, and sinks, sliding layers and a RoPE of each layer's own in its attention. */
import { readBase, readHeads, readLayerTypes, readMultipliers } from '../config/axes.ts';
import type { RopeConfig } from '../config/model-config.ts';
import { ConfigReader, type Json } from '../config/read.ts';
import { NO_ROPE, readRope, type RopeRequest } from '../config/rope.ts';
import type { Family } from './family.ts';
import { readGraniteMoe, sharedNames } from './granitemoe.ts';
import { fusedExperts, llamaNames } from './llama-names.ts';
import { groupedAttention } from './parts.ts';

const isTheta = (item: Json): item is number | null => item === null || (typeof item === 'number' && item >= 0);

/** A theta a layer, 0 or null for none. */
function readRopes(c: ConfigReader, layers: number, request: RopeRequest): readonly RopeConfig[] {
  const common = readRope(c, request)('full_attention').rope;
  const thetas = c.list<number | null>('layer_rope_theta', isTheta, 'numbers or null', []);
  if (thetas.length === 0) return Array.from({ length: layers }, () => common);
  if (thetas.length !== layers) c.fail('layer_rope_theta', `a list of num_hidden_layers (${layers}) entries`);
  return thetas.map((theta) =>
    theta ? readRope(new ConfigReader({ rope_theta: theta }, c.path), request)('full_attention').rope : NO_ROPE,
  );
}

export const graniteMoeSwa: Family = {
  id: 'granitemoe-swa',
  modelTypes: ['granitemoe_swa'],
  architectures: ['GraniteMoeSWAForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'granitemoe-swa');
    const heads = readHeads(c, model.hidden);
    const multipliers = readMultipliers(c);
    const request = { headSize: heads.headSize, maxContext: model.maxContext, theta: 10_000 };
    const ropes = readRopes(c, layerCount, request);
    const types = readLayerTypes(c, layerCount, (i) => (i % 4 ? 'sliding_attention' : 'full_attention'));
    const window = c.integer('sliding_window', { fallback: 128 });
    const biased = c.boolean('attention_bias', false);
    const ffn = readGraniteMoe(c);
    const layers = types.map((type, i) => ({
      mixer: groupedAttention(heads, ropes[i]!, {
        scale: multipliers.attention,
        bias: { qkv: biased, o: biased },
        window: type === 'sliding_attention' ? window : null,
        sinks: true,
      }),
      ffn,
    }));
    return { ...model, ...multipliers.model, layers };
  },

  names: (config) =>
    llamaNames(config, {
      block: 'block_sparse_moe',
      router: 'router',
      experts: fusedExperts('out-in'),
      shared: sharedNames,
    }),
};
