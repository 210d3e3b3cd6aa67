/** The weights of a router: its matrix, where its norm, biases and gains lie in the router block, and what it carries a state by. */
import type { MoeFfn } from '../../config/model-config.ts';
import type { MoeFfnNames } from '../../families/family.ts';
import { routerBlock } from '../../kernels/moe/router_block.ts';
import type { RouterStateWeights } from '../../layers/weights.ts';
import { invariant } from '../../util/assert.ts';
import { targetLayout } from '../precision.ts';
import type { WeightFinder } from './finder.ts';
import type { MatrixSpec, RouterSpec, VectorSpec } from './specs.ts';

/** @throws InvalidCheckpoint for missing tensors and wrong shapes */
export function describeRouter(
  find: WeightFinder,
  { experts, router: { gains = false, expertScale: scaled = false, attends = false, inner = 0, state } }: MoeFfn,
  names: MoeFfnNames,
  ffnNorm: VectorSpec | null,
): RouterSpec {
  const { config, precision } = find.input;
  const rows = inner || experts;
  const hidden = state ?? config.hidden;
  const norm = state === undefined ? ffnNorm : null;
  const shape = { rows, cols: hidden };
  const sources = [names.router, ...(names.routerAttends ?? [])].map((name) => find.published(name, shape));
  invariant(sources.length === (attends ? 3 : 1), 'names of another router than the config');
  const layout = targetLayout(sources[0]!.layout, 'router', precision);
  const logitBias = names.routerBias === null ? null : find.vector(names.routerBias, experts);
  const selectionBias = names.selectionBias === null ? null : find.vector(names.selectionBias, experts);
  const sharedGate = names.sharedGate === null ? null : find.row(names.sharedGate, config.hidden);
  const routerGains = gains ? find.scaled(names.routerGains!, config.hidden, config.hidden ** -0.5) : null;
  const expertScale = scaled ? find.vector(names.expertScale!, experts) : null;
  const second = inner ? find.tensor(`${names.routerSecond!}.weight`, [experts, inner]) : null;
  const block = routerBlock({
    hidden,
    experts,
    layout,
    attends,
    inner,
    norm: norm !== null,
    normBias: config.norm === 'layer-biased',
    logitBias: logitBias !== null,
    selectionBias: selectionBias !== null,
    sharedGate: sharedGate !== null,
    routerGains: gains,
    expertScale: scaled,
  });
  const vectors = [
    { at: block.gammaAt, vector: norm },
    { at: block.logitBiasAt, vector: logitBias },
    { at: block.selectionBiasAt, vector: selectionBias },
    { at: block.sharedGateAt, vector: sharedGate },
    { at: block.routerGainsAt, vector: routerGains },
    { at: block.expertScaleAt, vector: expertScale },
    { at: block.secondAt, vector: second },
  ];
  return {
    label: names.router,
    block,
    matrix: {
      rows: sources.length * rows,
      cols: hidden,
      firstRow: 0,
      layout,
      pieces: sources.map((source, i) => ({ source, begin: 0, end: rows, target: i * rows, stride: 1 })),
    },
    vectors: vectors.flatMap(({ at, vector }) => (vector ? [{ at, vector }] : [])),
  };
}

/** Of a matrix [R, R] that is stored by rows, the columns: lanes of neighbouring rows then read neighbouring words. */
function byInput(find: WeightFinder, name: string, size: number): VectorSpec {
  const stored = find.tensor(`${name}.weight`, [size, size]);
  const load: VectorSpec['load'] = async (signal) => {
    const rows = await stored.load(signal);
    return Float32Array.from(rows, (_, i) => rows[(i % size) * size + Math.floor(i / size)]!);
  };
  return { ...stored, load };
}

/** @throws InvalidCheckpoint for missing tensors and wrong shapes */
export function describeRouterState(
  find: WeightFinder,
  size: number,
  { routerState: names }: MoeFfnNames,
  norm: VectorSpec | null,
): RouterStateWeights<MatrixSpec, VectorSpec> {
  invariant(names && norm, 'a router with a state names it, and reads x through a norm');
  const none = { label: 'no state before', length: size, load: () => Promise.resolve(new Float32Array(size)) };
  return {
    norm,
    down: find.matrix(names.down, { rows: size, cols: find.input.config.hidden }, 'linear'),
    vectors: find.joined([
      find.vector(`${names.down}.bias`, size),
      names.before === null ? none : find.vector(names.before, size),
      find.vector(names.norm, size),
      ...[names.first, names.second].flatMap((name) => [byInput(find, name, size), find.vector(`${name}.bias`, size)]),
    ]),
  };
}
