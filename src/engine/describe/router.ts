/** The weights of a router: its matrix, and where its norm, biases and gains lie in the router block. */
import type { MoeFfn } from '../../config/model-config.ts';
import type { MoeFfnNames } from '../../families/family.ts';
import { routerBlock } from '../../kernels/moe/router_block.ts';
import { invariant } from '../../util/assert.ts';
import { targetLayout } from '../precision.ts';
import type { WeightFinder } from './finder.ts';
import type { RouterSpec, VectorSpec } from './specs.ts';

/** @throws InvalidCheckpoint for missing tensors and wrong shapes */
export function describeRouter(
  find: WeightFinder,
  { experts, router: { gains = false, expertScale: scaled = false, attends = false, inner = 0 } }: MoeFfn,
  names: MoeFfnNames,
  norm: VectorSpec | null,
): RouterSpec {
  const { config, precision } = find.input;
  const rows = inner || experts;
  const shape = { rows, cols: config.hidden };
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
    hidden: config.hidden,
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
      cols: config.hidden,
      firstRow: 0,
      layout,
      pieces: sources.map((source, i) => ({ source, begin: 0, end: rows, target: i * rows, stride: 1 })),
    },
    vectors: vectors.flatMap(({ at, vector }) => (vector ? [{ at, vector }] : [])),
  };
}
