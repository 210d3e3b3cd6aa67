/** How many parameters a config describes. */
import { upRows } from './activation.ts';
import { weighted } from './experts.ts';
import { headRows } from './head.ts';
import { gateRows, isRecurrent } from './mixers.ts';
import type {
  Activation,
  AttentionConfig,
  FfnConfig,
  LayerConfig,
  ModelConfig,
  MoeFfn,
  RecurrentConfig,
} from './model-config.ts';

export interface ParameterCounts {
  readonly total: number;
  /**
   * Those that one token meets: everything but the experts it is not sent to. The whole embedding table counts, as in the figures of
   * OLMoE (1.28 B), Qwen3 (3.3 B) and Mixtral (12.9 B); gpt-oss counts without it (3.6 B = 4.2 B - `embedding`).
   */
  readonly active: number;
  /** The input embedding, which is also the head where they are tied. */
  readonly embedding: number;
}

function attentionParameters(attention: AttentionConfig, hidden: number): number {
  const { heads } = attention;
  if (attention.kind === 'latent') {
    const { qRank, kvRank, nopeSize, ropeSize, valueSize } = attention;
    const qRows = heads * (nopeSize + ropeSize);
    const q = qRank === null ? qRows * hidden : qRank * hidden + qRank + qRows * qRank;
    const kv = (kvRank + ropeSize) * hidden + kvRank + heads * (nopeSize + valueSize) * kvRank;
    return q + kv + heads * valueSize * hidden;
  }
  const qRows = heads * attention.headSize;
  const kvRows = attention.kvHeads * attention.headSize;
  const perHead = 2 * attention.headSize;
  const gains = { none: 0, 'per-head': perHead, 'per-head-rotated': perHead, full: qRows + kvRows }[attention.qkNorm];
  const norms = (attention.qkGains ?? true) ? gains : 0;
  const biases = (attention.bias.qkv ? qRows + 2 * kvRows : 0) + (attention.bias.o ? hidden : 0);
  if (attention.mixture) {
    const { experts } = attention.mixture;
    return (2 * experts * kvRows + 2 * kvRows + experts) * hidden + biases;
  }
  const gate = gateRows(attention);
  const values = attention.valuesAreKeys ? 0 : kvRows;
  const filter = attention.filter ? 2 * hidden ** 2 + 2.5 * hidden : 0; // two convolutions, their biases, a norm
  // Two convolutions of q and k, their biases, and a length for each k head.
  const convolved = attention.convolved ? (qRows + kvRows) * (2 * attention.headSize + 4) + attention.kvHeads : 0;
  const besides = biases + (attention.sinks ? heads : 0) + filter + convolved;
  return (2 * qRows + gate + kvRows + values) * hidden + norms + besides;
}

function recurrentParameters(mixer: RecurrentConfig, hidden: number): number {
  if (mixer.kind === 'short-conv') return (4 * hidden + mixer.taps) * hidden;
  if (mixer.kind === 'delta-net') {
    const { heads, keyHeads, keySize, valueSize } = mixer;
    const [keys, values] = [keyHeads * keySize, heads * valueSize];
    const rows = 2 * keys + 2 * values + 2 * heads;
    return (rows + values) * hidden + (2 * keys + values) * mixer.taps + 2 * heads + valueSize;
  }
  const { states, taps, convBias } = mixer;
  const convolution = (channels: number): number => (taps + (convBias ? 1 : 0)) * channels;
  if (mixer.kind === 'mamba-1') {
    const { channels, rank } = mixer;
    const selected = rank + 2 * states;
    // Besides: the biases of the steps and D, log(-A), three norms.
    return (3 * hidden + selected + rank + 2 + states) * channels + convolution(channels) + selected;
  }
  const { heads, headSize, groups } = mixer;
  const channels = heads * headSize;
  const convolved = channels + 2 * groups * states;
  return (2 * channels + convolved + heads) * hidden + convolution(convolved) + 3 * heads + channels;
}

const glu = (width: number, activation: Activation, hidden: number): number =>
  (upRows(width, activation) + width) * hidden;

const expertParameters = (ffn: MoeFfn, hidden: number): number =>
  glu(ffn.width, ffn.activation, hidden) + (ffn.expertBias ? upRows(ffn.width, ffn.activation) + hidden : 0);

/** Parameters of an FFN when `experts` of its experts count. */
function ffnParameters(
  ffn: FfnConfig,
  { hidden, postNorms }: Pick<ModelConfig, 'hidden' | 'postNorms'>,
  experts: (ffn: MoeFfn) => number,
): number {
  if (ffn.kind === 'none') return 0;
  const { activation } = ffn;
  if (ffn.kind === 'dense') {
    const biases = ffn.bias ? upRows(ffn.width, activation) + hidden : 0;
    return glu(ffn.width, activation, hidden) + biases;
  }
  const { router, shared, parallel, latent } = ffn;
  const own = (router.gains ? hidden : 0) + (router.expertScale ? ffn.experts : 0);
  const beside = parallel ? glu(parallel.width, activation, hidden) + (postNorms ? 3 : 1) * hidden : 0;
  const biases = (router.logitBias ? ffn.experts : 0) + (router.selectionBias ? ffn.experts : 0);
  const always = shared ? glu(shared.width, activation, hidden) + (shared.gated ? hidden : 0) : 0;
  const chosen = experts(ffn) * expertParameters(ffn, latent ?? hidden) + 2 * hidden * (latent ?? 0);
  const { inner = 0, attends, state } = router;
  const maps = attends ? 3 : 1;
  const routing = inner ? inner * (hidden + ffn.experts) : maps * ffn.experts * (state ?? hidden);
  const carried = state === undefined ? 0 : state * (hidden + 2 * state + 4); // the gains of the state before are the layer's
  const ofSum = ffn.sumBias ? hidden : 0;
  return routing + carried + biases + ofSum + own + beside + always + chosen;
}

/** One table serves all layers of a stack. */
const distanceParameters = ({ mixer }: LayerConfig): number =>
  mixer.kind === 'grouped' ? (mixer.distanceBias?.buckets ?? 0) * mixer.heads : 0;

/** Pure; weights, norms, biases, sinks and correction biases all count. */
export function parameterCounts({
  vocab,
  hidden,
  layers,
  tieEmbeddings,
  norm,
  preNorms,
  postNorms,
  joinGains = false,
  tokenType = false,
  head,
  encoder,
}: ModelConfig): ParameterCounts {
  const embedding = vocab * hidden;
  const gains = norm === 'layer-biased' ? 2 * hidden : hidden;
  let common =
    embedding +
    (tieEmbeddings ? 0 : headRows({ head, vocab }) * hidden) +
    (head.bias ? headRows({ head, vocab }) : 0) +
    gains;
  if (joinGains) common += 2 * hidden; // of the embedding
  if (tokenType) common += hidden;
  const states = layers.flatMap(({ ffn }) => (ffn.kind === 'moe' ? [ffn.router.state ?? 0] : []));
  for (const state of states.slice(1)) common += state; // gains of the state before
  const decoder = encoder && layers[encoder.layers];
  if (decoder) common += gains + distanceParameters(layers[0]!) + distanceParameters(decoder);
  let all = 0;
  let chosen = 0;
  for (const { mixer: attention, ffn, outScale = false } of layers) {
    const mixer = isRecurrent(attention)
      ? recurrentParameters(attention, hidden)
      : attentionParameters(attention, hidden);
    const parts = ffn.kind === 'none' ? 1 : 2;
    common += mixer + parts * (Number(preNorms) + Number(postNorms) + 4 * Number(joinGains)) * gains + Number(outScale);
    all += ffnParameters(ffn, { hidden, postNorms }, weighted);
    chosen += ffnParameters(ffn, { hidden, postNorms }, (moe) => moe.topK);
  }
  return { total: common + all, active: common + chosen, embedding };
}
