/** NLLB-MoE: the body of M2M-100, of whose blocks every few send each token to two experts. */
import { LIMITS } from '../config/axes.ts';
import type { FfnConfig } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import type { Family, LayerNames } from './family.ts';
import { ACTIVATION, denseFfn, halves, readTranslator, translatorNames, type StackFfn } from './m2m-100.ts';
import { softmaxRouter } from './parts.ts';

/** The least that two weights sum to in f32, whose machine epsilon that is. */
const LEAST_SUM = 2 ** -23;

function readFfn(c: ConfigReader): StackFfn {
  c.only('router_bias', false);
  c.only('second_expert_policy', 'all');
  c.only('moe_eval_capacity_token_fraction', 1); // as many as the text has: nothing is dropped, in whatever order
  c.irrelevant('expert_capacity', 'batch_prioritized_routing', 'normalize_router_prob_before_dropping');
  // Of training; and padding, of which there is none here.
  c.irrelevant('router_jitter_noise', 'router_z_loss_coef', 'router_ignore_padding_tokens', 'router_type');
  c.irrelevant('router_dtype'); // routing is f32
  const experts = c.integer(['num_experts', 'num_local_experts'], { min: 2, max: LIMITS.experts });
  const dropped = c.number('moe_token_dropout', { min: 0, fallback: 0.2 });
  if (dropped >= 1) c.fail('moe_token_dropout', 'a number below 1');
  const steps = {
    encoder: c.integer('encoder_sparse_step', { min: 0, fallback: 4 }),
    decoder: c.integer('decoder_sparse_step', { min: 0, fallback: 4 }),
  };
  const moe = (width: number): FfnConfig => ({
    kind: 'moe',
    experts,
    topK: 2,
    width,
    activation: ACTIVATION,
    expertBias: true,
    // What training masks of experts' outputs, the others make up for.
    router: softmaxRouter({ renormalize: { least: LEAST_SUM }, scale: 1 - dropped }),
    shared: null,
  });
  return (stack, block, width) => ((block + 1) % steps[stack] === 0 ? moe(width) : denseFfn(width));
}

function ffnNames(block: string, ffn: FfnConfig): LayerNames['ffn'] {
  if (ffn.kind === 'none') return ffn;
  const at = `${block}.ffn`;
  if (ffn.kind === 'dense') return { kind: 'dense', ...halves(`${at}.`, ffn.width) };
  return {
    kind: 'moe',
    router: `${at}.router.classifier`,
    routerBias: null,
    selectionBias: null,
    experts: [{ kind: 'separate', expert: (e) => halves(`${at}.experts.expert_${e}.`, ffn.width) }],
    shared: null,
    sharedGate: null,
  };
}

export const nllbMoe: Family = {
  id: 'nllb-moe',
  modelTypes: ['nllb-moe'],
  architectures: ['NllbMoeForConditionalGeneration'],

  readConfig: (c) => readTranslator(c, 'nllb-moe', readFfn(c)),

  names: (config) =>
    translatorNames(config, {
      cross: 'cross_attention',
      crossNorm: 'cross_attention_layer_norm',
      ffnNorm: 'ff_layer_norm',
      ffn: ffnNames,
    }),
};
