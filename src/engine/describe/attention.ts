/** The weights of attention, over keys and values of its own or over latents: which tensors, of which shapes. */
import { gateRows } from '../../config/mixers.ts';
import type { AttentionConfig, GroupedAttention, LatentAttention } from '../../config/model-config.ts';
import type { GroupedAttentionNames, LatentAttentionNames, LayerNames, MatrixName } from '../../families/family.ts';
import type { ConvolutionWeights, FilterWeights, GroupedWeights, LatentWeights } from '../../layers/weights.ts';
import { invariant } from '../../util/assert.ts';
import type { MatrixShape } from '../../weights/layout.ts';
import { sideBySide } from '../../weights/matrix.ts';
import { label, type WeightFinder } from './finder.ts';
import type { MatrixSpec, VectorSpec } from './specs.ts';

/** Stretches of rows of one matrix that lie one below the other, or in one piece. */
function inStretches(
  names: MatrixName | readonly MatrixName[],
  whole: MatrixShape,
): (readonly [MatrixName, MatrixShape])[] {
  if (!isList(names)) return [[names, whole]];
  return names.map((name) => [name, { rows: typeof name === 'string' ? whole.rows : name.rows, cols: whole.cols }]);
}

const isList = (names: MatrixName | readonly MatrixName[]): names is readonly MatrixName[] => Array.isArray(names);

function onlyOne(names: MatrixName | readonly MatrixName[]): MatrixName {
  invariant(!isList(names), 'biases of rows in stretches are not supported');
  return names;
}

const labelOf = (names: MatrixName | readonly MatrixName[]): string => label(isList(names) ? names[0]! : names);

/** @throws InvalidCheckpoint for missing tensors and wrong shapes */
export function describeAttention(
  find: WeightFinder,
  config: AttentionConfig,
  names: LayerNames['mixer'],
  hidden: number,
): GroupedWeights<MatrixSpec, VectorSpec> | LatentWeights<MatrixSpec, VectorSpec> {
  if (config.kind === 'grouped') {
    invariant(names.kind === 'grouped', 'attention names of another kind than the config');
    return grouped(find, config, names, hidden);
  }
  invariant(names.kind === 'latent', 'attention names of another kind than the config');
  return latent(find, config, names, hidden);
}

function grouped(
  find: WeightFinder,
  config: GroupedAttention,
  names: GroupedAttentionNames,
  hidden: number,
): GroupedWeights<MatrixSpec, VectorSpec> {
  const { heads, kvHeads, headSize } = config;
  const qRows = heads * headSize;
  const kvRows = kvHeads * headSize;
  if (config.mixture) return mixture(find, config, names, hidden);
  const isCross = config.sees === 'encoded';
  const norm = (name: string | null, projection: number): VectorSpec | null =>
    name === null ? null : find.gains(name, config.qkNorm === 'full' ? projection : headSize);
  const { convolution } = names;
  const v = [names.v, { rows: convolution ? kvRows / 2 : kvRows, cols: hidden }] as const;
  return {
    kind: 'grouped',
    qkv: find.stacked(
      `${labelOf(names.q)} + k + v`,
      [
        ...inStretches(names.q, { rows: qRows, cols: hidden }),
        ...(isCross ? [] : inStretches(names.k, { rows: kvRows, cols: hidden })),
        ...(isCross || config.filter ? [] : [v]),
        ...(convolution ? [[convolution.delayed, v[1]] as const] : []),
        ...(names.gate && config.outputGate ? inStretches(names.gate, { rows: gateRows(config), cols: hidden }) : []),
      ],
      'linear',
    ),
    qkvBias: config.bias.qkv
      ? isCross
        ? find.stackedBias([onlyOne(names.q)], [qRows])
        : find.stackedBias([onlyOne(names.q), onlyOne(names.k), names.v], [qRows, kvRows, kvRows])
      : null,
    o: find.matrix(names.o, { rows: hidden, cols: qRows }, 'linear'),
    oBias: config.bias.o ? find.vector(`${names.o}.bias`, hidden) : null,
    qNorm: norm(names.qNorm, qRows),
    kNorm: norm(names.kNorm, kvRows),
    sinks: names.sinks === null ? null : find.vector(names.sinks, heads),
    kv: isCross
      ? find.stacked(`${labelOf(names.k)} + v`, [...inStretches(names.k, { rows: kvRows, cols: hidden }), v], 'linear')
      : null,
    kvBias: isCross && config.bias.qkv ? find.stackedBias([onlyOne(names.k), names.v], [kvRows, kvRows]) : null,
    distanceBias: config.distanceBias ? find.tensor(names.distanceBias!, [config.distanceBias.buckets, heads]) : null,
    filter: config.filter ? filter(find, names, v, hidden) : null,
    convolution: config.convolved ? convolutionOf(find, config, names) : null,
  };
}

function convolutionOf(
  find: WeightFinder,
  { heads, kvHeads, headSize }: GroupedAttention,
  { convolution: names }: GroupedAttentionNames,
): ConvolutionWeights<VectorSpec> {
  invariant(names, 'convolved attention names its convolutions');
  const channels = (heads + kvHeads) * headSize;
  return {
    channels: find.joined([
      find.tensor(`${names.channels}.weight`, [channels, 1, 2]),
      find.vector(`${names.channels}.bias`, channels),
      find.vector(`${names.heads}.bias`, channels),
      find.vector(names.lengths, kvHeads),
    ]),
    heads: find.tensor(`${names.heads}.weight`, [channels, headSize, 2]),
  };
}

function filter(
  find: WeightFinder,
  { filter: names }: GroupedAttentionNames,
  v: readonly [MatrixName, MatrixShape],
  hidden: number,
): FilterWeights<MatrixSpec, VectorSpec> {
  invariant(names, 'attention with a filter names it');
  const inner = hidden / 2;
  const taps = (name: string, rows: number, cols: number): readonly [MatrixSpec, MatrixSpec] => [
    find.tap(name, 0, { rows, cols }),
    find.tap(name, 1, { rows, cols }),
  ];
  const shift = Float32Array.from({ length: 2 * hidden }, (_, i) => 1 - (i % 2));
  return {
    first: taps(names.first, inner, hidden),
    firstBias: find.vector(`${names.first}.bias`, inner),
    second: taps(names.second, hidden, inner),
    secondBias: find.vector(`${names.second}.bias`, hidden),
    shift: { label: `${names.first} shift`, length: shift.length, load: () => Promise.resolve(shift) },
    norm: find.gains(names.norm, hidden),
    v: find.stacked(label(v[0]), [v], 'linear'),
  };
}

/** Of a mixture of attention heads: rows of all experts' q, k, v, the router's; and the ways out of all experts side by side. */
function mixture(
  find: WeightFinder,
  config: GroupedAttention,
  names: GroupedAttentionNames,
  hidden: number,
): GroupedWeights<MatrixSpec, VectorSpec> {
  const { kvHeads, headSize } = config;
  const { experts } = config.mixture!;
  const width = kvHeads * headSize;
  invariant(names.mixture && typeof names.q === 'string', 'a mixture of heads has names of its own');
  const { router, out } = names.mixture;
  const all = Array.from({ length: experts }, (_, e) => e);
  const q = all.map((e) => find.expertMatrix(names.q as string, e, { rows: width, cols: hidden, experts }));
  const kv = [onlyOne(names.k), names.v].map((name) => find.published(name, { rows: width, cols: hidden }));
  const routes = find.published(router, { rows: experts, cols: hidden });
  const ways = all.map((e) => find.expertMatrix(out, e, { rows: hidden, cols: width, experts }));
  return {
    kind: 'grouped',
    qkv: find.placed(`${names.q} + kv + router`, [
      ...[...q, ...kv].map((source) => [source, 'linear'] as const),
      [routes, 'router'],
    ]),
    qkvBias: null,
    o: find.placed(out, [[sideBySide(out, ways), 'linear']]),
    oBias: config.bias.o ? find.vector(`${names.o}.bias`, hidden) : null,
    qNorm: null,
    kNorm: null,
    sinks: null,
    filter: null,
    convolution: null,
    kv: null,
    kvBias: null,
    distanceBias: null,
  };
}

function latent(
  find: WeightFinder,
  config: LatentAttention,
  names: LatentAttentionNames,
  hidden: number,
): LatentWeights<MatrixSpec, VectorSpec> {
  const { heads, qRank, kvRank, nopeSize, ropeSize, valueSize } = config;
  const qRows = heads * (nopeSize + ropeSize);
  const kv: [string, MatrixShape] = [names.kvDown, { rows: kvRank + ropeSize, cols: hidden }];
  const low = 'direct' in names.q ? null : names.q;
  invariant((low === null) === (qRank === null), 'q names and config disagree');
  const q: [string, MatrixShape] = low
    ? [low.down, { rows: qRank!, cols: hidden }]
    : [(names.q as { direct: string }).direct, { rows: qRows, cols: hidden }];
  return {
    kind: 'latent',
    down: find.stacked(`${q[0]} + kv`, [q, kv], 'linear'),
    qNorm: low && find.vector(low.norm, qRank!),
    qUp: low && find.matrix(low.up, { rows: qRows, cols: qRank! }, 'linear'),
    kvNorm: find.vector(names.kvNorm, kvRank),
    kvUp: find.matrix(
      names.kvUp,
      { rows: heads * (nopeSize + valueSize), cols: kvRank },
      'linear',
      nopeSize + valueSize,
    ),
    o: find.matrix(names.o, { rows: hidden, cols: heads * valueSize }, 'linear'),
  };
}
