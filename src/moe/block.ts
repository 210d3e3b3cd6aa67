/**
 * One Mixture-of-Experts layer: out = x + sum over the K chosen of weight * expert(norm(x)) (+ the shared expert).
 *
 *            decode, few                           prefill
 *   route    x -> normed, ids and weights          the same
 *   shared   rides in up and down                  rides in up, down and combine
 *   group                                          ids -> rows by expert, tiles, inverse map
 *   up       normed -> act [P, F]                  rows gathered tile by tile
 *   down     act -> out, weights and residual in   act -> y [P, D]
 *   combine                                        y -> out through the inverse map, k ascending
 *
 * Of a double gate, up leaves products, and a dispatch behind it makes act of them.
 */
import { valueRows } from '../config/activation.ts';
import type { MoeFfn } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { gluTriples, productsOf } from '../kernels/linear/glu_triples.ts';
import { combine } from '../kernels/moe/combine.ts';
import { dropLate } from '../kernels/moe/drop_late.ts';
import { expertDown, expertDownDecode } from '../kernels/moe/expert_down.ts';
import { expertUp, expertUpDecode, type ExpertUpShape } from '../kernels/moe/expert_up.ts';
import { group } from '../kernels/moe/group.ts';
import type { ExpertHome } from '../kernels/moe/slot.ts';
import { denseLayer } from '../layers/ffn.ts';
import { invariant } from '../util/assert.ts';
import { ExpertAdapter } from './adapter.ts';
import { addSum, besideOf, normedStream, parallelBranch, sharedExpert } from './beside.ts';
import { expertInput, routeTokens, skipsOf } from './routing.ts';
import type { MoeMarks, MoeParts, MoeStep } from './step.ts';

export function moeLayer(r: Recorder, config: MoeFfn, weights: MoeParts, s: MoeStep): MoeMarks {
  if (!config.parallel?.behind) return besideExperts(r, config, weights, s);
  const { label, scratch, postNorm } = s;
  const { parallel, shared } = weights;
  invariant(parallel && !shared && !postNorm, `${label}: a dense feed-forward behind experts alone`);
  const { normed, withShared: x, dense: hidden } = scratch;
  const marks = besideExperts(r, config, weights, { ...s, out: x });
  const { activation } = config;
  denseLayer(r, {
    ...s,
    label: `${label} dense`,
    x,
    activation,
    weights: parallel,
    gamma: parallel.norm,
    normed,
    hidden,
  });
  return marks;
}

/** What runs the chosen experts, however they are gathered. */
interface Mixture {
  readonly home: ExpertHome;
  /** The rows that experts read. */
  readonly input: BufferView; // [T, D]
  readonly hidden: number; // of them: D, or the latent's
  readonly shape: ExpertUpShape;
  /** Where up leaves its values, or their products for `activate`. */
  readonly products: { readonly act: BufferView; readonly raw: boolean };
  readonly activate: () => void;
  readonly adapter: ExpertAdapter;
  /** What the sum joins at once. */
  readonly residual: BufferView | undefined;
  readonly sum: { readonly out: BufferView; readonly scale: number };
  readonly unweighted: boolean;
}

/** The layer but for what lies behind its experts. */
function besideExperts(r: Recorder, config: MoeFfn, weights: MoeParts, s: MoeStep): MoeMarks {
  const { label, phase, hidden, routed, scratch, postNorm } = s;
  const { experts, topK, width, activation } = config;
  const { latent } = weights;
  invariant(
    !config.nulls || !(config.shared || weights.experts.lowRank),
    `${label}: more than experts, some of them null`,
  );
  const atRoute = r.mark();
  const joined = s.normedStream ? normedStream(r, weights, s) : parallelBranch(r, config, weights, s);
  routeTokens(r, config, weights, s);
  const beside = besideOf(r, config, weights, s);
  const residual = beside ? joined : sharedExpert(r, config, weights, s, joined);
  /** With a post norm: what is normed, without x; with a latent what goes up from it. `normed` is free when it is written. */
  const sum = postNorm || latent ? { out: scratch.normed, scale: 1 } : { out: s.out, scale: s.scale };
  const { arena, slot, slotTable } = weights.experts;
  const shape = { experts, topK, slot, activation, ...(beside ? { beside } : {}) };
  const home = { arena, slotTable: s.waveTable ?? slotTable };
  const input = expertInput(r, config, weights, s);
  const unweighted = config.weightsOn === 'input';
  const { rowOfPair, act } = scratch;
  const adapter = new ExpertAdapter(r, weights.experts, {
    ...{ label, topK, activation, input, routed, act, scale: sum.scale, unweighted },
    ...(phase === 'prefill' && { rowOfPair }),
  });
  const isDouble = valueRows(activation) === 3;
  invariant(!isDouble || !weights.experts.lowRank, `${label}: what adapters add to experts of a double gate`);
  const products = isDouble ? { act: productsOf(act), raw: false } : adapter.products;
  const activate = (): void => {
    if (isDouble) gluTriples(r, `${label} activation`, { values: act }, { width, rows: topK });
    else adapter.activate();
  };
  const mixture = {
    home,
    input,
    hidden: config.latent ?? hidden,
    shape,
    products,
    activate,
    adapter,
    residual: latent ? undefined : residual,
    sum,
    unweighted,
  };
  const marks = phase === 'prefill' ? grouped(r, config, s, mixture) : oneByOne(r, s, mixture);
  addSum(r, weights, s, residual);
  return { route: atRoute, ...marks };
}

/** Token by token, each reads its experts' matrices. */
function oneByOne(r: Recorder, { label, routed, scratch: { act } }: MoeStep, m: Mixture): Omit<MoeMarks, 'route'> {
  const atExperts = r.mark();
  m.adapter.lower();
  const up = { ...m.home, x: m.input, routed, act: m.products.act };
  expertUpDecode(r, `${label} up`, up, { ...m.shape, raw: m.products.raw });
  m.activate();
  const down = { ...m.home, act, routed, residual: m.adapter.joined(m.residual), out: m.sum.out };
  expertDownDecode(r, `${label} down`, down, { ...m.shape, scale: m.sum.scale, unweighted: m.unweighted });
  return { experts: atExperts, combine: r.mark() };
}

/** By expert: an expert's tokens read its matrices in tiles. */
function grouped(r: Recorder, config: MoeFfn, s: MoeStep, m: Mixture): Omit<MoeMarks, 'route'> {
  const { label, routed, tileRows } = s;
  const { pairOfRow, rowOfPair, tiles, counts, act, y } = s.scratch;
  const { experts, topK, capacity } = config;
  if (s.reads === 'text' && capacity !== undefined) {
    invariant(topK === 1, `${label}: a capacity for tokens of more than one expert`);
    dropLate(r, `${label} drop`, { routed }, { capacity });
  }
  group(r, `${label} group`, { routed, pairOfRow, rowOfPair, tiles, counts }, { experts, topK, tileRows });
  m.adapter.lower();
  const atExperts = r.mark();
  const up = { ...m.home, x: m.input, pairOfRow, tiles, act: m.products.act };
  expertUp(r, `${label} up`, up, { ...m.shape, raw: m.products.raw, tileRows });
  m.activate();
  expertDown(r, `${label} down`, { ...m.home, act, tiles, y }, { ...m.shape, tileRows });
  const atCombine = r.mark();
  const { hidden } = m;
  const { beside } = m.shape;
  combine(
    r,
    `${label} combine`,
    { y, rowOfPair, routed, residual: m.adapter.joined(m.residual), out: m.sum.out },
    { hidden, topK, scale: m.sum.scale, unweighted: m.unweighted, ...(beside ? { beside } : {}), ...skipsOf(config) },
  );
  return { experts: atExperts, combine: atCombine };
}
