/** A model of which nine bytes in ten are experts, small enough to be made and run in a test. */
import { plain, synthetic } from './synthetic.ts';

export const HEAVY_LAYERS = 8;
export const HEAVY_EXPERTS = 32;

/** Files of a Mixtral of 8 layers with 32 experts each, of which a token uses two: 40 MB, in shards whose tensors lie as `split` finds them. */
export function expertHeavy(): Record<string, Uint8Array> {
  const { files } = synthetic(
    {
      model_type: 'mixtral',
      architectures: ['MixtralForCausalLM'],
      hidden_act: 'silu',
      bos_token_id: 1,
      eos_token_id: 2,
      hidden_size: 128,
      intermediate_size: 192,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      num_hidden_layers: HEAVY_LAYERS,
      num_local_experts: HEAVY_EXPERTS,
      num_experts_per_tok: 2,
      vocab_size: 1024,
      max_position_embeddings: 512,
      rms_norm_eps: 1e-5,
      rope_theta: 10_000,
      tie_word_embeddings: false,
      torch_dtype: 'bfloat16',
    },
    { encode: plain('BF16'), seed: 3 },
  );
  return Object.fromEntries(
    Object.entries(files).map(([name, file]) => [
      name,
      typeof file === 'string' ? new TextEncoder().encode(file) : file,
    ]),
  );
}
