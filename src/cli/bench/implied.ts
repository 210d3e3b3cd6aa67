/** The tensors that a config implies, as its family publishes them: enough to plan a model, or to make one up, without a checkpoint. */
import { upRows, valueRows } from '../../config/activation.ts';
import { weighted } from '../../config/experts.ts';
import { headRows } from '../../config/head.ts';
import { gateRows } from '../../config/mixers.ts';
import { readModelConfig } from '../../config/load.ts';
import type {
  Activation,
  FfnConfig,
  GroupedAttention,
  LatentAttention,
  LayerConfig,
  MoeFfn,
} from '../../config/model-config.ts';
import { UnsupportedModel } from '../../errors.ts';
import { plainName } from '../../families/family.ts';
import type {
  ExpertStorage,
  GluNames,
  GroupedAttentionNames,
  JoinNames,
  LatentAttentionNames,
  LayerNames,
  MatrixName,
  MoeFfnNames,
  RouterStateNames,
} from '../../families/family.ts';
import { invariant } from '../../util/assert.ts';

export interface ImpliedTensor {
  readonly name: string;
  readonly dtype: 'BF16' | 'U8';
  readonly shape: readonly number[];
}

type Shape = readonly number[];
type Entry = readonly [name: string, shape: Shape];

function unsaid(what: string): never {
  throw new UnsupportedModel(
    `A config alone does not say how ${what} is stored: name a folder, a URL or a Hub id in its place`,
    { path: 'config.json' },
  );
}

/** Of a stored matrix with the rows of several, the first stands for all. */
function stacked(
  name: MatrixName | readonly MatrixName[],
  rows: number,
  suffix: 'weight' | 'bias',
  ...more: Shape
): Entry[] {
  if (typeof name === 'string') return [[`${name}.${suffix}`, [rows, ...more]]];
  if (!('of' in name)) return name.flatMap((stretch) => stacked(stretch, rows, suffix, ...more));
  return name.first === 0 ? [[`${name.of}.${suffix}`, [name.total, ...more]]] : [];
}

/** A matrix in several parts says how many rows it has itself; of a whole gate the activation does. */
const glu = (
  { gate, up, down }: GluNames<MatrixName>,
  { width, activation }: { readonly width: number; readonly activation: Activation },
  hidden: number,
): Entry[] => [
  ...stacked(gate, valueRows(activation) === 3 ? 2 * width : width, 'weight', hidden),
  ...stacked(up, width, 'weight', hidden),
  [`${down}.weight`, [hidden, width]],
];

function grouped(a: GroupedAttention, n: GroupedAttentionNames, hidden: number): Entry[] {
  const [q, kv] = [a.heads * a.headSize, a.kvHeads * a.headSize];
  const projections: (readonly [GroupedAttentionNames['q'], number])[] = [
    [n.q, q],
    [n.k, kv],
    [n.v, n.convolution ? kv / 2 : kv],
  ];
  const normed = (rows: number): number => (a.qkNorm === 'full' ? rows : a.headSize);
  if (a.valuesAreKeys) projections.pop();
  return [
    ...projections.flatMap(([name, rows]) => stacked(name, rows, 'weight', hidden)),
    ...(a.bias.qkv ? projections.flatMap(([name, rows]) => stacked(name, rows, 'bias')) : []),
    ...(n.gate && a.outputGate ? stacked(n.gate, gateRows(a), 'weight', hidden) : []),
    [`${n.o}.weight`, [hidden, q]],
    ...(n.filter ? filter(n.filter, hidden) : []),
    ...(n.convolution ? convolution(a, n.convolution, hidden) : []),
    ...(a.bias.o ? [[`${n.o}.bias`, [hidden]] as const] : []),
    ...(n.qNorm ? [[n.qNorm, [normed(q)]] as const] : []),
    ...(n.kNorm ? [[n.kNorm, [normed(kv)]] as const] : []),
    ...(n.sinks ? [[n.sinks, [a.heads]] as const] : []),
  ];
}

const filter = ({ first, second, norm }: NonNullable<GroupedAttentionNames['filter']>, hidden: number): Entry[] => [
  [`${first}.weight`, [hidden / 2, hidden, 2, 1]],
  [`${first}.bias`, [hidden / 2]],
  [`${second}.weight`, [hidden, hidden / 2, 2, 1]],
  [`${second}.bias`, [hidden]],
  [norm, [hidden]],
];

function convolution(
  { heads, kvHeads, headSize }: GroupedAttention,
  n: NonNullable<GroupedAttentionNames['convolution']>,
  hidden: number,
): Entry[] {
  const channels = (heads + kvHeads) * headSize;
  return [
    [`${n.delayed}.weight`, [(kvHeads * headSize) / 2, hidden]],
    [`${n.channels}.weight`, [channels, 1, 2]],
    [`${n.channels}.bias`, [channels]],
    [`${n.heads}.weight`, [channels, headSize, 2]],
    [`${n.heads}.bias`, [channels]],
    [n.lengths, [kvHeads]],
  ];
}

const join = (n: JoinNames | undefined, hidden: number): Entry[] =>
  n
    ? [n.gain, n.bias, n.stream?.gain, n.stream?.bias].flatMap((name) => (name ? [[name, [hidden]] as const] : []))
    : [];

const routerState = (n: RouterStateNames, size: number, hidden: number): Entry[] => [
  [`${n.down}.weight`, [size, hidden]],
  ...[n.first, n.second].map((name): Entry => [`${name}.weight`, [size, size]]),
  ...[n.down, n.first, n.second].map((name): Entry => [`${name}.bias`, [size]]),
  ...[n.norm, ...(n.before === null ? [] : [n.before])].map((name): Entry => [name, [size]]),
];

function latent(a: LatentAttention, n: LatentAttentionNames, hidden: number): Entry[] {
  const qRows = a.heads * (a.nopeSize + a.ropeSize);
  const q: Entry[] =
    'direct' in n.q
      ? [[`${n.q.direct}.weight`, [qRows, hidden]]]
      : [
          [`${n.q.down}.weight`, [a.qRank!, hidden]],
          [n.q.norm, [a.qRank!]],
          [`${n.q.up}.weight`, [qRows, a.qRank!]],
        ];
  return [
    ...q,
    [`${n.kvDown}.weight`, [a.kvRank + a.ropeSize, hidden]],
    [n.kvNorm, [a.kvRank]],
    [`${n.kvUp}.weight`, [a.heads * (a.nopeSize + a.valueSize), a.kvRank]],
    [`${n.o}.weight`, [hidden, a.heads * a.valueSize]],
  ];
}

function attention(a: LayerConfig['mixer'], n: LayerNames['mixer'], hidden: number): Entry[] {
  if (a.kind === 'grouped' && n.kind === 'grouped') return grouped(a, n, hidden);
  if (a.kind === 'latent' && n.kind === 'latent') return latent(a, n, hidden);
  return unsaid(`what mixes tokens here (${a.kind})`);
}

function experts(storage: ExpertStorage, ffn: MoeFfn, hidden: number): Entry[] {
  const { width, activation } = ffn;
  const e = weighted(ffn);
  if (storage.kind === 'separate')
    return Array.from({ length: e }, (_, i) => glu(storage.expert(i), { width, activation }, hidden)).flat();
  if (storage.kind === 'flat')
    return [...new Set([storage.gate, storage.up, storage.down])].map((name): Entry => [name, [e * width, hidden]]);
  if (storage.kind === 'double')
    return [
      [storage.gate, [e, hidden, 2 * width]],
      [storage.up, [e, hidden, width]],
      [storage.down, [e, width, hidden]],
    ];
  const isOutIn = storage.orientation === 'out-in';
  return [
    [storage.gateUp, isOutIn ? [e, 2 * width, hidden] : [e, hidden, 2 * width]],
    [storage.down, isOutIn ? [e, hidden, width] : [e, width, hidden]],
    ...(storage.gateUpBias ? [[storage.gateUpBias, [e, 2 * width]] as const] : []),
    ...(storage.downBias ? [[storage.downBias, [e, hidden]] as const] : []),
  ];
}

const moe = (ffn: MoeFfn, n: MoeFfnNames, hidden: number): Entry[] => [
  [plainName(n.router), [ffn.router.inner ?? ffn.experts, ffn.router.state ?? hidden]],
  ...(n.routerSecond && ffn.router.inner
    ? [[`${n.routerSecond}.weight`, [ffn.experts, ffn.router.inner]] as const]
    : []),
  ...(n.routerState ? routerState(n.routerState, ffn.router.state!, hidden) : []),
  ...(n.routerAttends ?? []).map((name): Entry => [`${name}.weight`, [ffn.experts, hidden]]),
  ...(n.routerBias ? [[n.routerBias, [ffn.experts]] as const] : []),
  ...(n.sumBias ? [[n.sumBias, [hidden]] as const] : []),
  ...(n.selectionBias ? [[n.selectionBias, [ffn.experts]] as const] : []),
  ...experts(n.experts[0]!, ffn, ffn.latent ?? hidden),
  ...(n.latent && ffn.latent
    ? ([
        [`${n.latent.down}.weight`, [ffn.latent, hidden]],
        [`${n.latent.up}.weight`, [hidden, ffn.latent]],
      ] as const)
    : []),
  ...(n.shared && ffn.shared ? glu(n.shared, { ...ffn, width: ffn.shared.width }, hidden) : []),
  ...(n.sharedGate ? [[`${n.sharedGate}.weight`, [1, hidden]] as const] : []),
  ...(n.routerGains ? [[n.routerGains, [hidden]] as const] : []),
  ...(n.expertScale ? [[n.expertScale, [ffn.experts]] as const] : []),
  ...(n.parallel && ffn.parallel
    ? [
        ...glu(n.parallel, { ...ffn, width: ffn.parallel.width }, hidden),
        ...[n.parallel.norm, n.parallel.postNorm, n.parallel.expertsPostNorm].flatMap((name): Entry[] =>
          name === undefined ? [] : [[name, [hidden]]],
        ),
      ]
    : []),
];

function feedForward(ffn: FfnConfig, n: LayerNames['ffn'], hidden: number): Entry[] {
  if (ffn.kind === 'none') return [];
  if (ffn.kind === 'dense' && n.kind === 'dense') {
    const rows = upRows(ffn.width, ffn.activation) / 2;
    const biases = ffn.bias ? [...stacked(n.gate, rows, 'bias'), ...stacked(n.up, rows, 'bias')] : [];
    return [...glu(n, ffn, hidden), ...biases, ...(ffn.bias ? [[`${n.down}.bias`, [hidden]] as const] : [])];
  }
  invariant(ffn.kind === 'moe' && n.kind === 'moe', 'ffn names of another kind than the config');
  return moe(ffn, n, hidden);
}

/** MXFP4 keeps [E, in, out] as [E, out, in / 32] blocks of 16 bytes, and a scale each. */
function stored([name, shape]: Entry, isMxfp4: boolean): ImpliedTensor[] {
  if (!isMxfp4 || shape.length !== 3) return [{ name, dtype: 'BF16', shape }];
  const blocks = [shape[0]!, shape[2]!, shape[1]! / 32];
  return [
    { name: `${name}_blocks`, dtype: 'U8', shape: [...blocks, 16] },
    { name: `${name}_scales`, dtype: 'U8', shape: blocks },
  ];
}

/**
 * In the order of the layers: BF16, and MXFP4 experts where the config says so.
 * @param text of config.json
 * @throws UnsupportedModel for another quantisation, and for a family that stores its tensors in a way that is not known here; as `readModelConfig`
 */
export function impliedTensors(text: string): ImpliedTensor[] {
  const { config, names, quantization } = readModelConfig(text);
  const method = (quantization as { readonly quant_method?: unknown } | null)?.quant_method;
  if (quantization !== null && method !== 'mxfp4')
    throw new UnsupportedModel(
      `A config alone does not say how ${String(method)} stores its tensors: name a folder, a URL or a Hub id`,
      { path: 'quantization_config' },
    );
  const { hidden, vocab } = config;
  const norm = (name: string): Entry[] => [
    [name, [hidden]],
    ...(config.norm === 'layer-biased' ? [[name.replace(/weight$/, 'bias'), [hidden]] as const] : []),
  ];
  const entries: Entry[] = [
    [`${names.embed}.weight`, [vocab, hidden]],
    ...join(names.embedJoin, hidden),
    ...(names.tokenType ? [[names.tokenType, [1, hidden]] as const] : []),
    ...config.layers.flatMap(({ mixer: a, ffn }, i): Entry[] => {
      const n = names.layer(i);
      return [
        ...attention(a, n.mixer, hidden),
        ...[n.mixerNorm, n.ffnNorm, n.mixerPostNorm, n.ffnPostNorm].flatMap((name) =>
          name === undefined ? [] : norm(name),
        ),
        ...join(n.mixerJoin, hidden),
        ...join(n.ffnJoin, hidden),
        ...(n.outScale ? [[n.outScale, [1]] as const] : []),
        ...feedForward(ffn, n.ffn, hidden),
      ];
    }),
    ...norm(names.finalNorm),
    ...(names.head ? [[`${names.head}.weight`, [headRows(config), hidden]] as const] : []),
    ...(config.head.bias ? [[`${names.head ?? names.embed}.bias`, [headRows(config)]] as const] : []),
  ];
  return entries.flatMap((entry) => stored(entry, method === 'mxfp4'));
}
