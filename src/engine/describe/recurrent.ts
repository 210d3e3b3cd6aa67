/** The weights of recurrent token mixers: which tensors, of which shapes. */
import type { DeltaNet, Mamba1, Mamba2, RecurrentConfig, ShortConvolution } from '../../config/model-config.ts';
import type {
  DeltaNetNames,
  LayerNames,
  Mamba1Names,
  Mamba2Names,
  ShortConvolutionNames,
} from '../../families/family.ts';
import { convolvedChannels } from '../../layers/mixer_step.ts';
import type {
  DeltaNetWeights,
  Mamba1Weights,
  Mamba2Weights,
  RecurrentWeights,
  ShortConvolutionWeights,
} from '../../layers/weights.ts';
import { invariant } from '../../util/assert.ts';
import type { WeightFinder } from './finder.ts';
import type { MatrixSpec, VectorSpec } from './specs.ts';

type Specs = RecurrentWeights<MatrixSpec, VectorSpec>;

/** @throws InvalidCheckpoint for missing tensors and wrong shapes */
export function describeRecurrent(
  find: WeightFinder,
  config: RecurrentConfig,
  names: LayerNames['mixer'],
  hidden: number,
): Specs {
  if (config.kind === 'short-conv' && names.kind === 'short-conv') return shortConvolution(find, config, names, hidden);
  if (config.kind === 'mamba-1' && names.kind === 'mamba-1') return mamba1(find, config, names, hidden);
  if (config.kind === 'mamba-2' && names.kind === 'mamba-2') return mamba2(find, config, names, hidden);
  if (config.kind === 'delta-net' && names.kind === 'delta-net') return deltaNet(find, config, names, hidden);
  invariant(false, 'mixer names of another kind than the config');
}

function shortConvolution(
  find: WeightFinder,
  { taps }: ShortConvolution,
  names: ShortConvolutionNames,
  hidden: number,
): ShortConvolutionWeights<MatrixSpec, VectorSpec> {
  return {
    kind: 'short-conv',
    inProj: find.matrix(names.inProj, { rows: 3 * hidden, cols: hidden }, 'linear'),
    taps: find.tensor(names.conv, [hidden, 1, taps]),
    outProj: find.matrix(names.outProj, { rows: hidden, cols: hidden }, 'linear'),
  };
}

function mamba1(
  find: WeightFinder,
  { channels, states, taps, rank }: Mamba1,
  names: Mamba1Names,
  hidden: number,
): Mamba1Weights<MatrixSpec, VectorSpec> {
  return {
    kind: 'mamba-1',
    inProj: find.matrix(names.inProj, { rows: 2 * channels, cols: hidden }, 'linear'),
    taps: find.tensor(names.conv, [channels, 1, taps]),
    convBias: names.convBias === null ? null : find.vector(names.convBias, channels),
    // What steps and states are made of decides how fast they fade: as sensitive as a router, and as small.
    selectProj: find.matrix(names.selectProj, { rows: rank + 2 * states, cols: channels }, 'router'),
    stepNorm: find.vector(names.stepNorm, rank),
    bNorm: find.vector(names.bNorm, states),
    cNorm: find.vector(names.cNorm, states),
    stepProj: find.matrix(names.stepProj, { rows: channels, cols: rank }, 'router'),
    scan: find.joined([
      find.vector(`${names.stepProj}.bias`, channels),
      find.vector(names.skip, channels),
      find.tensor(names.aLog, [channels, states]),
    ]),
    outProj: find.matrix(names.outProj, { rows: hidden, cols: channels }, 'linear'),
  };
}

const logOfMinus = (a: VectorSpec): VectorSpec => ({
  ...a,
  load: async (signal) => (await a.load(signal)).map((value) => Math.log(-value)),
});

function mamba2(
  find: WeightFinder,
  config: Mamba2,
  names: Mamba2Names,
  hidden: number,
): Mamba2Weights<MatrixSpec, VectorSpec> {
  const { heads, headSize, taps } = config;
  const channels = heads * headSize;
  const convolved = convolvedChannels(config);
  return {
    kind: 'mamba-2',
    inProj: find.matrix(names.inProj, { rows: channels + convolved + heads, cols: hidden }, 'linear'),
    taps: find.tensor(names.conv, names.ggml ? [convolved, taps] : [convolved, 1, taps]),
    convBias: names.convBias === null ? null : find.vector(names.convBias, convolved),
    scan: find.joined([
      find.vector(names.stepBias, heads),
      find.vector(names.skip, heads),
      names.ggml ? logOfMinus(find.vector(names.aLog, heads)) : find.vector(names.aLog, heads),
    ]),
    norm: names.ggml
      ? find.tensor(names.norm, [config.groups, channels / config.groups])
      : find.vector(names.norm, channels),
    outProj: find.matrix(names.outProj, { rows: hidden, cols: channels }, 'linear'),
  };
}

/** The gains that make `rms_norm` scale q and k to unit length, and q by 1 / sqrt(key size) besides. */
function unitGains({ keyHeads, keySize }: DeltaNet): VectorSpec {
  const unit = keySize ** -0.5;
  const half = keyHeads * keySize;
  const gains = Float32Array.from({ length: 2 * half }, (_, i) => (i < half ? unit * unit : unit));
  return { label: 'unit length of q and k', length: gains.length, load: () => Promise.resolve(gains) };
}

const repeated = (vector: VectorSpec, times: number): VectorSpec => ({
  label: vector.label,
  length: times * vector.length,
  load: async (signal) => {
    const once = await vector.load(signal);
    return Float32Array.from({ length: times * once.length }, (_, i) => once[i % once.length]!);
  },
});

function deltaNet(
  find: WeightFinder,
  config: DeltaNet,
  names: DeltaNetNames,
  hidden: number,
): DeltaNetWeights<MatrixSpec, VectorSpec> {
  const { heads, keyHeads, keySize, valueSize, taps } = config;
  const values = heads * valueSize;
  const rows = names.inProj.map((name) => [name, { rows: name.rows, cols: hidden }] as const);
  return {
    kind: 'delta-net',
    inProj: find.stacked(names.inProj[0]!.of, rows, 'linear'),
    taps: find.tensor(names.conv, [2 * keyHeads * keySize + values, 1, taps]),
    qkGains: unitGains(config),
    rates: find.joined([find.vector(names.aLog, heads), find.vector(names.stepBias, heads)]),
    norm: repeated(find.vector(names.norm, valueSize), heads),
    outProj: find.matrix(names.outProj, { rows: hidden, cols: values }, 'linear'),
  };
}
