/** What llama.cpp calls the tensors of a model, by what its config says and not by its family: one naming serves all of them. */
import { isGated } from '../config/activation.ts';
import { isAttention } from '../config/mixers.ts';
import type {
  Activation,
  AttentionConfig,
  LayerConfig,
  MixerConfig,
  ModelConfig,
  MoeFfn,
} from '../config/model-config.ts';
import { UnsupportedModel } from '../errors.ts';
import {
  stackedRows,
  type ExpertStorage,
  type GluNames,
  type LayerNames,
  type MatrixName,
  type MoeFfnNames,
  type TensorNames,
} from './family.ts';

/** Whether the file has a tensor. */
type Has = (tensor: string) => boolean;

interface Ffn {
  readonly width: number;
  readonly activation: Activation;
}

function glu(prefix: string, suffix: string, { width, activation }: Ffn): GluNames<MatrixName> {
  const down = `${prefix}.ffn_down${suffix}`;
  if (isGated(activation)) return { gate: `${prefix}.ffn_gate${suffix}`, up: `${prefix}.ffn_up${suffix}`, down };
  const [gate, up] = stackedRows(`${prefix}.ffn_up${suffix}`, [width / 2, width / 2]);
  return { gate, up, down };
}

function mixerNames(blk: string, mixer: MixerConfig, model: string): LayerNames['mixer'] {
  if (isAttention(mixer)) return attentionNames(blk, mixer, model);
  if (mixer.kind !== 'mamba-2')
    throw new UnsupportedModel(`${model} in a GGUF file: the names of its layers are not known`, {});
  return {
    kind: 'mamba-2',
    ggml: true,
    inProj: `${blk}.ssm_in`,
    conv: `${blk}.ssm_conv1d.weight`,
    convBias: mixer.convBias ? `${blk}.ssm_conv1d.bias` : null,
    stepBias: `${blk}.ssm_dt.bias`,
    aLog: `${blk}.ssm_a`,
    skip: `${blk}.ssm_d`,
    norm: `${blk}.ssm_norm.weight`,
    outProj: `${blk}.ssm_out`,
  };
}

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
const expertStorages = (blk: string, ffn: Ffn): ExpertStorage[] =>
  ['_exps.', '.'].map((suffix) => ({ kind: 'separate', expert: (e) => glu(blk, `${suffix}${e}`, ffn) }));

function ffnNames(blk: string, { ffn }: LayerConfig): LayerNames['ffn'] {
  if (ffn.kind === 'none') return ffn;
  if (ffn.kind === 'dense') return { kind: 'dense', ...glu(blk, '', ffn) };
  return moeNames(blk, ffn);
}

function moeNames(blk: string, ffn: MoeFfn): MoeFfnNames {
  const { activation } = ffn;
  return {
    kind: 'moe',
    router: `${blk}.ffn_gate_inp`,
    routerBias: ffn.router.logitBias ? `${blk}.ffn_gate_inp.bias` : null,
    selectionBias: ffn.router.selectionBias ? `${blk}.exp_probs_b.bias` : null,
    experts: expertStorages(blk, ffn),
    shared: ffn.shared ? glu(blk, '_shexp', { width: ffn.shared.width, activation }) : null,
    sharedGate: ffn.shared?.gated ? `${blk}.ffn_gate_inp_shexp` : null,
  };
}

/** The block that a tensor is in, by the family's own names. */
const blockOf = (tensor: string | undefined): number | null => {
  const found = /\.(\d+)\./.exec(tensor ?? '');
  return found ? Number(found[1]) : null;
};

/** Of each layer the block of its mixer and that of its feed-forward: one, but where each of them is a block of its own. */
const blocksOf = ({ layers }: ModelConfig, own: TensorNames): (readonly [mixer: number, ffn: number])[] =>
  layers.map((_, index) => {
    const { mixerNorm, ffnNorm } = own.layer(index);
    const mixer = blockOf(mixerNorm) ?? index;
    return [mixer, blockOf(ffnNorm) ?? mixer];
  });

/** @param own the family's names: what is not named here is looked for under them, and not found */
export function ggufNames(config: ModelConfig, own: TensorNames, has: Has): TensorNames {
  const layerOf = (tensor: string): number => Number(/^blk\.(\d+)\./.exec(tensor)?.[1] ?? -1);
  const blocks = blocksOf(config, own);
  const count = Math.max(0, ...blocks.flat()) + 1;
  return {
    ...own,
    embed: 'token_embd',
    finalNorm: 'output_norm.weight',
    head: config.tieEmbeddings ? null : 'output',
    layer(index) {
      const layer = config.layers[index]!;
      const [at, ffnAt] = blocks[index]!;
      const [blk, ffn] = [`blk.${at}`, `blk.${ffnAt}`];
      const mixerNorm = `${blk}.attn_norm.weight`;
      // Some architectures name the norm before the feed-forward after what it follows, and blocks of one part have but one norm.
      const ffnNorm =
        at === ffnAt ? [`${ffn}.ffn_norm.weight`, `${ffn}.post_attention_norm.weight`] : [`${ffn}.attn_norm.weight`];
      return {
        ...own.layer(index),
        mixerNorm,
        ffnNorm: ffnNorm.find(has) ?? ffnNorm[0]!,
        mixer: mixerNames(blk, layer.mixer, config.family),
        ffn: ffnNames(ffn, layer),
      };
    },
    ofLayer: (tensor) => layerOf(tensor) >= 0 && layerOf(tensor) < count,
    // Layers behind the last one predict further tokens; nothing reads them. Factors of rotary frequencies are in the config.
    ignored: (tensor) => layerOf(tensor) >= count || tensor.startsWith('rope_factors_'),
  };
}
