/**
 * The naming that most families share: `model.layers.{i}.self_attn.q_proj` and so on. What a layer has, the config says; a family only
 * says what its Mixture-of-Experts block is called.
 */
import { isAttention } from '../config/mixers.ts';
import type { AttentionConfig, FfnConfig, ModelConfig, MoeFfn, RecurrentConfig } from '../config/model-config.ts';
import { invariant } from '../util/assert.ts';
import type {
  ExpertStorage,
  GluNames,
  LayerNames,
  MatrixName,
  MoeFfnNames,
  RecurrentNames,
  TensorNames,
} from './family.ts';

export interface MoeNaming {
  /** As in `mlp` of `model.layers.0.mlp.gate`. */
  readonly block: string;
  /** Of dense layers; by default `mlp`. */
  readonly denseBlock?: string;
  /** As in `gate` of `model.layers.0.mlp.gate`. */
  readonly router: string;
  /** Ways to store the experts of `model.layers.0.mlp`, in order of preference. */
  readonly experts: (block: string) => readonly ExpertStorage[];
  /** As in `shared_experts` of `model.layers.0.mlp.shared_experts`, or of a layer and its width the names. */
  readonly shared?: string | ((layer: string, width: number) => GluNames<MatrixName>);
  readonly sharedGate?: string;
  /** As in `gate.e_score_correction_bias` of `model.layers.0.mlp`; by default that, below the router's name. */
  readonly selectionBias?: string;
  /** Of a layer's four norms, in a model with `postNorms`; of the latter two, in one without `preNorms`. */
  readonly norms?: LayerNorms;
  /** As in `gate_proj` of `model.layers.0.self_attn`, in a model with output gates. */
  readonly outputGate?: string;
  /** Of q and k; by default `q_norm` and `k_norm`. */
  readonly qkNorms?: readonly [q: string, k: string];
  /** The checkpoint has more layers than the config counts: heads that predict several tokens, which nothing here reads. */
  readonly extraLayers?: boolean;
  /** Names of a token mixer that is no attention, in a layer such as `model.layers.0`. */
  readonly recurrent?: (layer: string, mixer: RecurrentConfig) => RecurrentNames;
}

type LayerNorms =
  | readonly [mixer: string, mixerPost: string, ffn: string, ffnPost: string]
  | readonly [mixerPost: string, ffnPost: string];

const glu = (prefix: string, [gate, up, down]: readonly [string, string, string]): GluNames => ({
  gate: `${prefix}.${gate}`,
  up: `${prefix}.${up}`,
  down: `${prefix}.${down}`,
});

const PROJECTIONS = ['gate_proj', 'up_proj', 'down_proj'] as const;

/** One matrix an expert and projection: `{block}.experts.{e}.gate_proj`. */
export const separateExperts =
  (projections: readonly [gate: string, up: string, down: string] = PROJECTIONS): MoeNaming['experts'] =>
  (block) => [{ kind: 'separate', expert: (e) => glu(`${block}.experts.${e}`, projections) }];

type Fused = Extract<ExpertStorage, { kind: 'fused' }>;

/**
 * All experts in two tensors of rank 3, `{block}.experts.gate_up_proj` and `{block}.experts.down_proj`, gate first unless `gateRows` says otherwise; with
 * `biased` there are `_bias` of both.
 */
export const fusedExperts =
  (
    orientation: Fused['orientation'],
    {
      gateRows = 'first-half',
      biased = false,
    }: { readonly gateRows?: Fused['gateRows']; readonly biased?: boolean } = {},
  ): MoeNaming['experts'] =>
  (block) => {
    const [gateUp, down] = [`${block}.experts.gate_up_proj`, `${block}.experts.down_proj`];
    const [gateUpBias, downBias] = biased ? [`${gateUp}_bias`, `${down}_bias`] : [null, null];
    return [{ kind: 'fused', gateUp, down, gateUpBias, downBias, orientation, gateRows }];
  };

/** Ways to store experts, in order of preference. */
export const eitherExperts =
  (...ways: readonly MoeNaming['experts'][]): MoeNaming['experts'] =>
  (block) =>
    ways.flatMap((way) => way(block));

/** The block of DeepSeek's models and of those that took it over. Layers behind the last one predict further tokens. */
export const DEEPSEEK_BLOCK: MoeNaming = {
  block: 'mlp',
  router: 'gate',
  experts: separateExperts(),
  shared: 'shared_experts',
  extraLayers: true,
};

function attentionNames(prefix: string, attention: AttentionConfig, naming: MoeNaming): LayerNames['mixer'] {
  const at = (name: string): string => `${prefix}.${name}`;
  if (attention.kind === 'latent') {
    return {
      kind: 'latent',
      q:
        attention.qRank === null
          ? { direct: at('q_proj') }
          : { down: at('q_a_proj'), norm: at('q_a_layernorm.weight'), up: at('q_b_proj') },
      kvDown: at('kv_a_proj_with_mqa'),
      kvNorm: at('kv_a_layernorm.weight'),
      kvUp: at('kv_b_proj'),
      o: at('o_proj'),
    };
  }
  const normed = attention.qkNorm !== 'none' && (attention.qkGains ?? true);
  const [qNorm, kNorm] = naming.qkNorms ?? ['q_norm', 'k_norm'];
  return {
    kind: 'grouped',
    q: at('q_proj'),
    k: at('k_proj'),
    v: at(attention.valuesAreKeys ? 'k_proj' : 'v_proj'),
    o: at('o_proj'),
    qNorm: normed ? at(`${qNorm}.weight`) : null,
    kNorm: normed ? at(`${kNorm}.weight`) : null,
    sinks: attention.sinks ? at('sinks') : null,
    ...(naming.outputGate && attention.outputGate ? { gate: at(naming.outputGate) } : {}),
  };
}

function sharedNames(layer: string, block: string, { shared }: MoeFfn, naming: MoeNaming): MoeFfnNames['shared'] {
  if (!shared || !naming.shared) return null;
  if (typeof naming.shared === 'string') return glu(`${block}.${naming.shared}`, PROJECTIONS);
  return naming.shared(layer, shared.width);
}

function moeNames(layer: string, ffn: MoeFfn, naming: MoeNaming): MoeFfnNames {
  const block = `${layer}.${naming.block}`;
  const router = `${block}.${naming.router}`;
  return {
    kind: 'moe',
    router,
    routerBias: ffn.router.logitBias ? `${router}.bias` : null,
    selectionBias: ffn.router.selectionBias
      ? `${block}.${naming.selectionBias ?? `${naming.router}.e_score_correction_bias`}`
      : null,
    experts: naming.experts(block),
    shared: sharedNames(layer, block, ffn, naming),
    sharedGate: ffn.shared?.gated && naming.sharedGate ? `${block}.${naming.sharedGate}` : null,
  };
}

function ffnNames(layer: string, ffn: FfnConfig, naming: MoeNaming): LayerNames['ffn'] {
  if (ffn.kind === 'none') return ffn;
  if (ffn.kind === 'moe') return moeNames(layer, ffn, naming);
  return { kind: 'dense', ...glu(`${layer}.${naming.denseBlock ?? 'mlp'}`, PROJECTIONS) };
}

function recurrentNames(layer: string, mixer: RecurrentConfig, { recurrent }: MoeNaming): RecurrentNames {
  invariant(recurrent, 'a recurrent token mixer in a family that names none');
  return recurrent(layer, mixer);
}

function normNames(layer: string, { norms }: MoeNaming): Omit<LayerNames, 'mixer' | 'ffn'> {
  const at = (name: string): string => `${layer}.${name}.weight`;
  if (!norms) return { mixerNorm: at('input_layernorm'), ffnNorm: at('post_attention_layernorm') };
  if (norms.length === 2) return { mixerPostNorm: at(norms[0]), ffnPostNorm: at(norms[1]) };
  const [mixer, mixerPost, ffn, ffnPost] = norms;
  return {
    mixerNorm: at(mixer),
    mixerPostNorm: at(mixerPost),
    ffnNorm: at(ffn),
    ffnPostNorm: at(ffnPost),
  };
}

export function llamaNames(config: ModelConfig, naming: MoeNaming): TensorNames {
  const layerOf = (tensor: string): number => Number(/^model\.layers\.(\d+)\./.exec(tensor)?.[1] ?? -1);
  return {
    embed: 'model.embed_tokens',
    finalNorm: 'model.norm.weight',
    head: config.tieEmbeddings ? null : 'lm_head',
    layer(index) {
      const layer = `model.layers.${index}`;
      const { mixer, ffn } = config.layers[index]!;
      return {
        ...normNames(layer, naming),
        mixer: isAttention(mixer)
          ? attentionNames(`${layer}.self_attn`, mixer, naming)
          : recurrentNames(layer, mixer, naming),
        ffn: ffnNames(layer, ffn, naming),
      };
    },
    ofLayer: (tensor) => layerOf(tensor) >= 0 && layerOf(tensor) < config.layers.length,
    ignored: (tensor) =>
      tensor.endsWith('.rotary_emb.inv_freq') ||
      // Some tied checkpoints store the same matrix twice.
      (config.tieEmbeddings && tensor.startsWith('lm_head.')) ||
      (naming.extraLayers === true && layerOf(tensor) >= config.layers.length),
  };
}
