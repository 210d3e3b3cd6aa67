/** Multi-head latent attention as DeepSeek-V2 and V3 describe it. */
import { LIMITS } from '../config/axes.ts';
import type { LatentAttention } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { readRope } from '../config/rope.ts';

/** The norms inside were built without an epsilon argument, whatever rms_norm_eps says. */
const INNER_NORM_EPS = 1e-6;

export function readLatentAttention(c: ConfigReader, maxContext: number, interleaved: boolean): LatentAttention {
  const heads = c.integer('num_attention_heads', { max: LIMITS.heads });
  const size = (key: string): number => c.integer(key, { max: LIMITS.headSize });
  const nopeSize = size('qk_nope_head_dim');
  const ropeSize = size('qk_rope_head_dim');
  const headSize = nopeSize + ropeSize;
  if (c.integer('num_key_value_heads', { fallback: heads }) !== heads) {
    c.fail('num_key_value_heads', `${heads}, as many as attention heads, because keys come from a latent`);
  }
  if (c.integer('qk_head_dim', { fallback: headSize }) !== headSize) c.fail('qk_head_dim', `${headSize}`);
  c.irrelevant('head_dim'); // transformers notes qk_rope_head_dim here
  c.only('attention_bias', false);
  const { rope, latentScale } = readRope(c, { headSize: ropeSize, maxContext, theta: 10_000, interleaved })(
    'full_attention',
  );
  return {
    kind: 'latent',
    heads,
    qRank: c.raw('q_lora_rank') === undefined ? null : c.integer('q_lora_rank', { max: LIMITS.hidden }),
    kvRank: c.integer('kv_lora_rank', { max: LIMITS.hidden }),
    nopeSize,
    ropeSize,
    valueSize: size('v_head_dim'),
    scale: headSize ** -0.5 * latentScale,
    innerNormEps: INNER_NORM_EPS,
    rope,
  };
}

/** Keys of published DeepSeek files that only training or a cluster needs. */
export const DEEPSEEK_TRAINING_KEYS = ['aux_loss_alpha', 'seq_aux', 'ep_size'] as const;
