/** What llama.cpp calls the tensors of a model, by what its config says and not by its family: one naming serves all of them. */
import { isAttention } from '../config/mixers.ts';
import type { AttentionConfig, LayerConfig, ModelConfig } from '../config/model-config.ts';
import { UnsupportedModel } from '../errors.ts';
import type { ExpertStorage, GluNames, LayerNames, MoeFfnNames, TensorNames } from './family.ts';

/** Whether the file has a tensor. */
type Has = (tensor: string) => boolean;

const glu = (prefix: string, suffix: string): GluNames => ({
  gate: `${prefix}.ffn_gate${suffix}`,
  up: `${prefix}.ffn_up${suffix}`,
  down: `${prefix}.ffn_down${suffix}`,
});

function attentionNames(blk: string, attention: AttentionConfig, model: string): LayerNames['mixer'] {
  const at = (name: string): string => `${blk}.${name}`;
  if (attention.kind === 'grouped') {
    const isNormed = attention.qkNorm !== 'none';
    return {
      kind: 'grouped',
      q: at('attn_q'),
      k: at('attn_k'),
      v: at('attn_v'),
      o: at('attn_output'),
      qNorm: isNormed ? at('attn_q_norm.weight') : null,
      kNorm: isNormed ? at('attn_k_norm.weight') : null,
      sinks: attention.sinks ? at('attn_sinks.weight') : null,
    };
  }
  if (attention.kind === 'latent') {
    return {
      kind: 'latent',
      q:
        attention.qRank === null
          ? { direct: at('attn_q') }
          : { down: at('attn_q_a'), norm: at('attn_q_a_norm.weight'), up: at('attn_q_b') },
      kvDown: at('attn_kv_a_mqa'),
      kvNorm: at('attn_kv_a_norm.weight'),
      kvUp: at('attn_kv_b'),
      o: at('attn_output'),
    };
  }
  throw new UnsupportedModel(`${model} in a GGUF file: the names of its layers are not known`, {});
}

/** All of a layer in one tensor, or, in files of 2023, one tensor an expert: `ffn_gate.3`. */
const expertStorages = (blk: string): ExpertStorage[] => [
  {
    kind: 'separate',
    expert: (e) => ({
      gate: `${blk}.ffn_gate_exps.${e}`,
      up: `${blk}.ffn_up_exps.${e}`,
      down: `${blk}.ffn_down_exps.${e}`,
    }),
  },
  { kind: 'separate', expert: (e) => glu(blk, `.${e}`) },
];

function moeNames(blk: string, { ffn }: LayerConfig): MoeFfnNames | null {
  if (ffn.kind !== 'moe') return null;
  return {
    kind: 'moe',
    router: `${blk}.ffn_gate_inp`,
    routerBias: ffn.router.logitBias ? `${blk}.ffn_gate_inp.bias` : null,
    selectionBias: ffn.router.selectionBias ? `${blk}.exp_probs_b.bias` : null,
    experts: expertStorages(blk),
    shared: ffn.shared ? glu(blk, '_shexp') : null,
    sharedGate: ffn.shared?.gated ? `${blk}.ffn_gate_inp_shexp` : null,
  };
}

/** @param own the family's names: what is not named here is looked for under them, and not found */
export function ggufNames(config: ModelConfig, own: TensorNames, has: Has): TensorNames {
  const layerOf = (tensor: string): number => Number(/^blk\.(\d+)\./.exec(tensor)?.[1] ?? -1);
  return {
    ...own,
    embed: 'token_embd',
    finalNorm: 'output_norm.weight',
    head: config.tieEmbeddings ? null : 'output',
    layer(index) {
      const blk = `blk.${index}`;
      const layer = config.layers[index]!;
      // Some architectures name the norm before the feed-forward after what it follows.
      const ffnNorm = [`${blk}.ffn_norm.weight`, `${blk}.post_attention_norm.weight`];
      return {
        ...own.layer(index),
        mixerNorm: `${blk}.attn_norm.weight`,
        ffnNorm: ffnNorm.find(has) ?? ffnNorm[0]!,
        mixer: isAttention(layer.mixer) ? attentionNames(blk, layer.mixer, config.family) : own.layer(index).mixer,
        ffn: moeNames(blk, layer) ?? { kind: 'dense', ...glu(blk, '') },
      };
    },
    ofLayer: (tensor) => layerOf(tensor) >= 0 && layerOf(tensor) < config.layers.length,
    // Layers behind the last one predict further tokens; nothing reads them.
    ignored: (tensor) => layerOf(tensor) >= config.layers.length,
  };
}
