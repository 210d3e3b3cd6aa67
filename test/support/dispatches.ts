/** What a step may cost in dispatches: by parts, so that it holds for any family; and by fixture, as docs/performance-dispatches.md lists them. */
import { readFileSync } from 'node:fs';
import { valueRows } from '../../src/config/activation.ts';
import { isEncoderAlone } from '../../src/config/encoder-alone.ts';
import { isRecurrent } from '../../src/config/mixers.ts';
import type { AttentionConfig, LayerConfig, ModelConfig, RecurrentConfig } from '../../src/config/model-config.ts';
import { isOfStacks } from '../../src/layers/encoded_attention.ts';
import type { KernelChoice } from '../../src/gpu/device.ts';

export type Phase = 'decode' | 'prefill';

/** Embedding, head, sampling. */
const OUTSIDE = 3;

/** Norms before a projection that are dispatches of their own: inside a token mixer they are RMS norms, whatever the model's own are. */
interface OwnNorms {
  readonly before: number;
  readonly inside: number;
}

/** in (norm folded in), convolution, what each has besides, out. */
function recurrentDispatches({ kind }: RecurrentConfig, { before, inside }: OwnNorms): number {
  const besides = {
    'short-conv': 0,
    'mamba-1': 5 + inside, // select, steps (norm folded in), norms of B and C, scan
    'mamba-2': 2, // scan, norm
    'delta-net': 4, // norm of q and k, rule, norm, gate
  }[kind];
  return 3 + before + besides;
}

function attentionDispatches(
  attention: AttentionConfig,
  { before, inside }: OwnNorms,
  phase: Phase,
  kernels: KernelChoice,
): number {
  if (attention.kind === 'grouped' && isOfStacks(attention)) return (attention.sees === 'encoded' ? 3 : 4) + before; // qkv, append, attend, out; of an encoded text the keys are there
  const isLatent = attention.kind === 'latent';
  const isInside = phase === 'decode' && kernels === 'gpu'; // the decode kernel takes queries down and results up itself
  const inner = Number(isLatent && attention.qRank !== null);
  const besides = isLatent && !isInside ? 2 : 0; // absorb, raise
  const aside = isLatent ? 0 : Number(attention.outputGate !== undefined) + (attention.mixture ? 2 : 0);
  const appends = Number(phase === 'prefill' && !isLatent);
  // With a filter: norm, twice the token before and two products, v, norm, q and k.
  const convolving = Number(!isLatent && attention.convolved === true);
  const projecting = (!isLatent && attention.filter ? 10 : 1 + before) + convolving;
  return projecting + inner * (1 + inside) + besides + appends + 2 + aside; // attend, out
}

/** Of one layer, while all keys lie in one split of the decode kernel. */
export function layerDispatches(
  { mixer: attention, ffn }: LayerConfig,
  { norm, preNorms, postNorms, joinGains = false }: Pick<ModelConfig, 'norm' | 'preNorms' | 'postNorms' | 'joinGains'>,
  phase: Phase,
  kernels: KernelChoice,
): number {
  const inside = Number(phase === 'prefill' && kernels === 'software');
  const own = { inside, before: !preNorms ? 0 : norm === 'rms' ? inside : 1 };
  const mixing = isRecurrent(attention)
    ? recurrentDispatches(attention, own)
    : attentionDispatches(attention, own, phase, kernels);
  const joins = Number(postNorms || joinGains);
  const attending = mixing + joins;
  if (ffn.kind === 'none') return attending;
  const double = Number(valueRows(ffn.activation) === 3); // values are made of the products by a dispatch of its own
  // Biases come between the products and the activation.
  if (ffn.kind === 'dense') return attending + 2 + double + own.before + joins + Number(ffn.bias ?? false);
  const weighs = ffn.weightsOn === 'input'; // by a dispatch of its own; the shared expert then reads other rows than the experts
  const latent = ffn.latent ? 2 : 0; // down, up
  const shared = ffn.shared && (kernels === 'software' || weighs || latent) ? 2 : 0;
  // Norm, up, down, norm, and norm of what the experts give; without post norms as a dense layer.
  const parallel = !ffn.parallel ? 0 : postNorms ? 5 : 2 + double + own.before;
  const drops = Number(phase === 'prefill' && ffn.capacity !== undefined);
  const carries = ffn.router.state === undefined ? 0 : 3; // norm, down, state
  const stream = Number(ffn.sumBias ?? false); // the norm again, with a bias that joins the sum
  const besides = double + latent + drops + shared + parallel + carries + stream + Number(weighs) + joins;
  return attending + (phase === 'decode' ? 3 : 5) + besides;
}

export function stepDispatches(config: ModelConfig, phase: Phase, kernels: KernelChoice): number {
  const { encoder, layers, norm } = config;
  const of = (some: readonly LayerConfig[], phase: Phase): number =>
    some.reduce((n, layer) => n + layerDispatches(layer, config, phase, kernels), 0);
  const outside = OUTSIDE + Number(norm !== 'rms') + Number(config.joinGains === true); // the norm before the head, gains of the embedding
  if (!encoder) return outside + of(layers, phase);
  // Embedding, the type of text, the last norm: nothing is drawn.
  if (isEncoderAlone(config))
    return phase === 'decode' ? 0 : 2 + Number(config.tokenType === true) + of(layers, 'prefill');
  const token = outside + of(layers.slice(encoder.layers), 'decode');
  if (phase === 'decode') return token;
  const passedOn = 2 * layers.filter(({ mixer }) => mixer.kind === 'grouped' && mixer.sees === 'encoded').length;
  return token + 1 + of(layers.slice(0, encoder.layers), 'prefill') + 1 + passedOn; // embedding; norm, and keys and values for each layer
}

type Row = Readonly<Record<KernelChoice, Readonly<Record<Phase, number>>>>;

/** Rows `| fixture | decode | prefill | decode, software | prefill, software |` of a Markdown text. */
export function listedDispatches(text = readFileSync('docs/performance-dispatches.md', 'utf8')): Map<string, Row> {
  const rows = [...text.matchAll(/^\|\s*`([\w/-]+)`\s*\|\s*(\d+)\s*\|\s*(\d+)\s*\|\s*(\d+)\s*\|\s*(\d+)\s*\|$/gm)];
  return new Map(
    rows.map(([, fixture, ...counts]) => {
      const [a, b, c, d] = counts.map(Number) as [number, number, number, number];
      return [fixture!, { gpu: { decode: a, prefill: b }, software: { decode: c, prefill: d } }];
    }),
  );
}
