/**
 * From names to work: finds every weight of a model in its checkpoint, checks shapes, and says in which layout and in how many parts it
 * goes to the GPU. Reads headers only; nothing is fetched.
 */
import { headRows } from '../config/head.ts';
import { isEncoderAlone } from '../config/encoder-alone.ts';
import { isRecurrent } from '../config/mixers.ts';
import { upRows, valueRows } from '../config/activation.ts';
import type { Activation, FfnConfig, LayerConfig, MixerConfig } from '../config/model-config.ts';
import { UnsupportedModel } from '../errors.ts';
import type { GluNames, LayerNames, MatrixName, ParallelNames } from '../families/family.ts';
import type { DenseWeights, ExpertLatent, ParallelWeights } from '../layers/weights.ts';
import { invariant } from '../util/assert.ts';
import { isBiasBeside } from '../weights/formats/column-ints.ts';
import type { MatrixShape } from '../weights/layout.ts';
import { describeAttention } from './describe/attention.ts';
import { describeExperts } from './describe/experts.ts';
import { label, WeightFinder, type DescribeInput } from './describe/finder.ts';
import { describeRecurrent } from './describe/recurrent.ts';
import { describeRouter, describeRouterState } from './describe/router.ts';
import type { LayerSpec, MatrixSpec, ModelSpec, VectorSpec } from './describe/specs.ts';

function model(find: WeightFinder): ModelSpec {
  const { config, names } = find.input;
  const { hidden, vocab } = config;
  const embed = find.matrix(names.embed, { rows: vocab, cols: hidden }, 'embedding');
  return {
    embed,
    embedJoin: find.join(names.embedJoin) ?? find.tokenType(names.tokenType),
    head: names.head === null ? embed : find.matrix(names.head, { rows: headRows(config), cols: hidden }, 'embedding'),
    headBias: config.head.bias ? find.vector(`${names.head ?? names.embed}.bias`, headRows(config)) : null,
    finalNorm: find.norm(names.finalNorm),
    encoderNorm: config.encoder && !isEncoderAlone(config) ? find.norm(names.encoderNorm!) : null,
    layers: config.layers.map((of, i) => layer(find, of, names.layer(i))),
  };
}

function layer(find: WeightFinder, config: LayerConfig, names: LayerNames): LayerSpec {
  return {
    mixerNorm: find.preNorm(names.mixerNorm),
    mixerPostNorm: find.postNorm(names.mixerPostNorm) ?? find.join(names.mixerJoin),
    ffnPostNorm: find.postNorm(names.ffnPostNorm) ?? find.join(names.ffnJoin),
    outScale: config.outScale ? find.vector(names.outScale!, 1) : null,
    mixer: mixer(find, config.mixer, names.mixer),
    ffn: ffn(find, config.ffn, names),
  };
}

function mixer(find: WeightFinder, config: MixerConfig, names: LayerNames['mixer']): LayerSpec['mixer'] {
  const { hidden } = find.input.config;
  return isRecurrent(config)
    ? describeRecurrent(find, config, names, hidden)
    : describeAttention(find, config, names, hidden);
}

function ffn(find: WeightFinder, config: FfnConfig, { ffn: names, ffnNorm }: LayerNames): LayerSpec['ffn'] {
  if (config.kind === 'none') return { kind: 'none' };
  const norm = find.preNorm(ffnNorm);
  if (config.kind === 'dense') {
    invariant(names.kind === 'dense', 'ffn names of another kind than the config');
    return {
      norm,
      ...dense(find, names, config.width, config.activation),
      gateUpBias: config.bias
        ? find.interleavedBias(names.gate, names.up, upRows(config.width, config.activation) / 2)
        : null,
      downBias: config.bias ? find.vector(`${names.down}.bias`, find.input.config.hidden) : null,
    };
  }
  invariant(names.kind === 'moe', 'ffn names of another kind than the config');
  const { shared: beside, parallel: branch, activation } = config;
  return {
    kind: 'moe',
    router: describeRouter(find, config, names, norm),
    state: config.router.state === undefined ? null : describeRouterState(find, config.router.state, names, norm),
    experts: describeExperts(find, config, names),
    streamNorm: names.sumBias && config.sumBias ? find.biasedNorm(ffnNorm!, names.sumBias) : null,
    latent: names.latent && config.latent ? latent(find, names.latent, config.latent) : null,
    shared: names.shared && beside ? dense(find, names.shared, beside.width, activation) : null,
    parallel: names.parallel && branch ? parallel(find, names.parallel, branch.width, activation) : null,
  };
}

function dense(
  find: WeightFinder,
  names: GluNames<MatrixName>,
  width: number,
  activation: Activation,
): DenseWeights<MatrixSpec> {
  const { hidden } = find.input.config;
  const rows = (count: number): MatrixShape => ({ rows: count, cols: hidden });
  const { gate, up } = names;
  return {
    kind: 'dense',
    gateUp:
      valueRows(activation) === 3
        ? find.stacked(`${label(gate)} + up`, [[gate, rows(2 * width)] as const, [up, rows(width)] as const], 'linear')
        : find.interleaved(gate, up, rows(upRows(width, activation) / 2)),
    down: find.matrix(names.down, { rows: hidden, cols: width }, 'linear'),
  };
}

function latent(
  find: WeightFinder,
  { down, up }: { down: string; up: string },
  size: number,
): ExpertLatent<MatrixSpec> {
  const { hidden } = find.input.config;
  return {
    down: find.matrix(down, { rows: size, cols: hidden }, 'linear'),
    up: find.matrix(up, { rows: hidden, cols: size }, 'linear'),
  };
}

function parallel(
  find: WeightFinder,
  names: ParallelNames,
  width: number,
  activation: Activation,
): ParallelWeights<MatrixSpec, VectorSpec> {
  return {
    norm: find.norm(names.norm),
    ...dense(find, names, width, activation),
    postNorm: find.postNorm(names.postNorm),
    expertsPostNorm: find.postNorm(names.expertsPostNorm),
  };
}

/** A tensor inside a layer that nothing reads would change what the layer computes: a bias, a norm, a scale. */
function refuseUnread({ checkpoint, names }: DescribeInput): void {
  const unread = checkpoint
    .unasked()
    .filter((name) => names.ofLayer(name) && !names.ignored(name) && !isBiasBeside(checkpoint, name));
  if (unread.length === 0) return;
  const more = unread.length > 3 ? ` and ${unread.length - 3} more` : '';
  throw new UnsupportedModel(
    `The checkpoint has tensors that config.json does not announce: ${unread.slice(0, 3).join(', ')}${more}. Without them the model would compute something else`,
    { tensors: unread.slice(0, 100) },
  );
}

function refuseUnmerged({ adapter }: DescribeInput): void {
  const left = adapter?.unmerged() ?? [];
  if (left.length === 0) return;
  const more = left.length > 3 ? ` and ${left.length - 3} more` : '';
  throw new UnsupportedModel(
    `The adapter changes modules that this model does not have, or not as matrices of their own: ${left.slice(0, 3).join(', ')}${more}`,
    { modules: left.slice(0, 100) },
  );
}

/**
 * @throws InvalidCheckpoint for missing tensors and wrong shapes
 * @throws UnsupportedModel for formats that cannot be mixed or are not known, and for tensors of a layer that nothing reads
 */
export function describeModel(input: DescribeInput): ModelSpec {
  const spec = model(new WeightFinder(input));
  refuseUnread(input);
  refuseUnmerged(input);
  return spec;
}
