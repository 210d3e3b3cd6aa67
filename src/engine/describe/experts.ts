/** The weights of a layer's experts: in which of the storages that its family knows they are, and that all share their formats. */
import { valueRows } from '../../config/activation.ts';
import { weighted } from '../../config/experts.ts';
import type { MoeFfn } from '../../config/model-config.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../errors.ts';
import type { ExpertStorage, MoeFfnNames } from '../../families/family.ts';
import { slotLayout } from '../../moe/slots.ts';
import { expertMatrices, findExpertBias, type ExpertMatrices } from '../../weights/formats/index.ts';
import { layoutName, sameLayout, type Layout } from '../../weights/layout.ts';
import type { PublishedMatrix } from '../../weights/matrix.ts';
import { targetLayout, type Precision } from '../precision.ts';
import { label, type WeightFinder } from './finder.ts';
import type { ExpertsSpec } from './specs.ts';

interface ExpertShape {
  readonly hidden: number;
  readonly width: number;
  readonly experts: number;
}

/** The first storage that the checkpoint has, and all its experts. */
function storedExperts(
  find: WeightFinder,
  { experts: storages, router }: MoeFfnNames,
  shape: ExpertShape,
): { readonly storage: ExpertStorage; readonly matrices: ExpertMatrices[] } {
  const { checkpoint, quantization } = find.input;
  const expert = (storage: ExpertStorage, e: number): ExpertMatrices | null =>
    expertMatrices(checkpoint, quantization, storage, e, shape, (whole) => find.adapted(whole));
  const storage = storages.find((s) => expert(s, 0) !== null);
  if (!storage) {
    const firstOf = (s: ExpertStorage): string =>
      s.kind === 'fused' ? s.gateUp : s.kind === 'separate' ? label(s.expert(0).gate) : s.gate;
    const tried = storages.map(firstOf);
    throw new InvalidCheckpoint('missing-tensor', `No experts found: looked for ${tried.join(' and ')}`, { tried });
  }
  const matrices = Array.from({ length: shape.experts }, (_, e) => {
    const found = expert(storage, e);
    if (!found)
      throw new InvalidCheckpoint('missing-tensor', `Expert ${e} is missing beside ${router}`, { expert: e, router });
    return found;
  });
  return { storage, matrices };
}

/** The layouts that all experts of a layer share. */
function sharedLayouts(matrices: readonly ExpertMatrices[], precision: Precision): { gateUp: Layout; down: Layout } {
  const target = (m: PublishedMatrix): Layout => targetLayout(m.layout, 'linear', precision);
  const first = matrices[0]!;
  const gateUp = target(first.gate);
  const down = target(first.down);
  const mustBe = (m: PublishedMatrix, wanted: Layout): void => {
    if (sameLayout(target(m), wanted)) return;
    const found = layoutName(target(m));
    throw new UnsupportedModel(
      `${m.name} is ${found} where its neighbours are ${layoutName(wanted)}: experts of a layer must share a format`,
      { tensor: m.name },
    );
  };
  for (const m of matrices) {
    mustBe(m.gate, gateUp);
    mustBe(m.up, gateUp);
    mustBe(m.down, down);
  }
  return { gateUp, down };
}

/**
 * @throws InvalidCheckpoint for missing experts and wrong shapes
 * @throws UnsupportedModel where experts of one layer differ in format
 */
export function describeExperts(find: WeightFinder, config: MoeFfn, names: MoeFfnNames): ExpertsSpec {
  const { checkpoint, precision, config: model } = find.input;
  const { width, activation } = config;
  const hidden = config.latent ?? model.hidden;
  const shape = { hidden, width, experts: weighted(config) };
  const { storage, matrices } = storedExperts(find, names, shape);
  const layouts = sharedLayouts(matrices, precision);
  const biases = config.expertBias ? matrices.map((_, e) => findExpertBias(checkpoint, storage, e, shape)) : null;
  return {
    label: `experts of ${names.router}`,
    count: shape.experts,
    topK: config.topK,
    slot: slotLayout({ hidden, width, valueRows: valueRows(activation), ...layouts, bias: config.expertBias }),
    matrices: (e) => matrices[e]!,
    bias: biases && ((e, signal) => biases[e]!(signal)),
    storedBytes: matrices.reduce((n, m) => n + m.gate.storedBytes + m.up.storedBytes + m.down.storedBytes, 0),
  };
}
