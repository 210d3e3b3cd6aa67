/**
 * LoRA adapters that are applied per request: beside each matrix W of attention, of a feed-forward, of the experts, and the head, a low-rank map
 * scale * B A of its own, so that one copy of W serves all. Which matrices an adapter's modules are.
 */
import { UnsupportedModel } from '../../errors.ts';
import { sameBlock } from '../../kernels/moe/router_block.ts';
import { mixerMatrices } from '../../layers/weights.ts';
import type { Adapter, LowRank } from '../../weights/adapters/lora.ts';
import { layoutName } from '../../weights/layout.ts';
import type { PublishedMatrix } from '../../weights/matrix.ts';
import {
  expertSpecs,
  type ExpertsSpec,
  type MatrixPart,
  type MatrixSpec,
  type ModelSpec,
  type RouterSpec,
} from '../describe/specs.ts';

/** Rows [begin, end) of a module's B. */
export interface MapRows {
  readonly map: LowRank;
  readonly begin: number;
  readonly end: number;
}

/** Rows of a matrix that one module of the checkpoint gives, and what the adapter adds to them. */
export interface Stretch extends MapRows {
  readonly target: number;
  readonly stride: number;
}

/** What the adapter adds to one expert. Without gates, gate and up are the halves of up. */
export interface ExpertMaps {
  readonly gate: MapRows | null;
  readonly up: MapRows | null;
  readonly down: MapRows | null;
}

/** Of one layer. Maps of a smaller rank are padded with zeros. */
export interface BoundExperts {
  readonly changed: ReadonlyMap<number, ExpertMaps>;
  /** The largest of gates and ups, and of downs; 0: there are none. */
  readonly gateUpRank: number;
  readonly downRank: number;
}

export interface BoundAdapter {
  readonly name: string;
  readonly maps: ReadonlyMap<MatrixSpec, readonly Stretch[]>;
  readonly experts: ReadonlyMap<ExpertsSpec, BoundExperts>;
  /** Of what is no product of its own, the adapter has copies into which it is merged: what lifts latents, and routers. */
  readonly lifts: ReadonlyMap<MatrixSpec, MatrixSpec>;
  readonly routers: ReadonlyMap<RouterSpec, RouterSpec>;
}

const liftsOf = ({ layers }: ModelSpec): MatrixSpec[] =>
  layers.flatMap(({ mixer }) => (mixer.kind === 'latent' ? [mixer.kvUp] : []));
const routersOf = ({ layers }: ModelSpec): RouterSpec[] =>
  layers.flatMap(({ ffn }) => (ffn.kind === 'moe' ? [ffn.router] : []));

/**
 * Matrices that every token goes through by a linear map of its own: what lifts latents is taken into queries and results instead; in front of attention
 * with a filter, products lie beside others in a row.
 */
function adaptable({ layers, head, embed }: ModelSpec): MatrixSpec[] {
  const inLayers = layers.flatMap(({ mixer, ffn }) => {
    const dense = ffn.kind === 'dense' ? [ffn] : ffn.kind === 'moe' ? [ffn.shared, ffn.parallel] : [];
    return [
      ...mixerMatrices(mixer)
        .filter((m) => m !== null)
        .filter((m) => mixer.kind !== 'latent' || m !== mixer.kvUp)
        .filter((m) => mixer.kind !== 'grouped' || !mixer.filter || m === mixer.o),
      ...dense.flatMap((w) => (w ? [w.gateUp, w.down] : [])),
    ];
  });
  return head === embed ? inLayers : [...inLayers, head];
}

/** Looks an adapter's modules up, and knows which it found. */
class Binding {
  readonly #adapter: Adapter;
  readonly #used = new Set<string>();

  constructor(adapter: Adapter) {
    this.#adapter = adapter;
  }

  /** What is added to rows [begin, end) of a matrix. */
  rows(source: PublishedMatrix, begin = 0, end = source.rows): MapRows | null {
    const { name, rows, cols, first } = source.within ?? { ...source, first: 0 };
    const map = this.#adapter.lowRank(name, { rows, cols });
    if (!map) return null;
    this.#used.add(name);
    return { map, begin: first + begin, end: first + end };
  }

  stretches({ parts }: MatrixSpec): Stretch[] {
    return parts.flatMap(({ firstRow, pieces }) =>
      pieces.flatMap(({ source, begin, end, target, stride }) => {
        const found = this.rows(source, begin, end);
        return found ? [{ ...found, target: firstRow + target, stride }] : [];
      }),
    );
  }

  experts({ count, matrices, slot }: ExpertsSpec): BoundExperts {
    const changed = new Map<number, ExpertMaps>();
    const addable = slot.valueRows === 3 ? 0 : count; // products of a double gate take nothing more
    for (let e = 0; e < addable; e++) {
      const { gate, up, down } = matrices(e);
      const maps = { gate: this.rows(gate), up: this.rows(up), down: this.rows(down) };
      if (maps.gate || maps.up || maps.down) changed.set(e, maps);
    }
    const most = (of: (maps: ExpertMaps) => (MapRows | null)[]): number =>
      [...changed.values()].flatMap(of).reduce((rank, rows) => Math.max(rank, rows?.map.rank ?? 0), 0);
    return { changed, gateUpRank: most(({ gate, up }) => [gate, up]), downRank: most(({ down }) => [down]) };
  }

  /** Of `there`, those of which a source is changed, each with the one at its place among `merged`. */
  copies<T>(there: readonly T[], merged: readonly T[], partsOf: (spec: T) => readonly MatrixPart[]): Map<T, T> {
    const isChanged = (spec: T): boolean =>
      partsOf(spec).some(({ pieces }) => pieces.some((p) => this.changes(p.source)));
    return new Map(there.flatMap((spec, i) => (isChanged(spec) ? [[spec, merged[i]!] as const] : [])));
  }

  changes({ name }: PublishedMatrix): boolean {
    const found = this.#adapter.modules.includes(name);
    if (found) this.#used.add(name);
    return found;
  }

  unused(): string[] {
    return this.#adapter.modules.filter((module) => !this.#used.has(module));
  }
}

/** A router's copy takes its place among those of the other layers. */
function mustFit(own: RouterSpec, copy: RouterSpec): void {
  if (sameBlock(own.block, copy.block)) return;
  const [from, to] = [own.block.layout, copy.block.layout].map(layoutName);
  throw new UnsupportedModel(
    `${own.label} is ${from}, and with an adapter merged ${to}: it cannot be changed per request. Load the adapter with the option adapter`,
    { tensor: own.label },
  );
}

/**
 * Finds the matrices of an adapter's modules.
 * @param merge describes the model with the adapter merged into the modules of these names
 * @throws UnsupportedModel for modules that cannot be changed per request: embeddings, experts in one tensor, and what the model does not have
 * @throws InvalidCheckpoint `wrong-shape` when the adapter was made for another size
 */
export function bindAdapter(
  name: string,
  adapter: Adapter,
  spec: ModelSpec,
  merge: (modules: ReadonlySet<string>) => ModelSpec,
): BoundAdapter {
  const binding = new Binding(adapter);
  const maps = new Map<MatrixSpec, readonly Stretch[]>();
  for (const matrix of adaptable(spec)) {
    const found = binding.stretches(matrix);
    if (found.length > 0) maps.set(matrix, found);
  }
  const experts = new Map<ExpertsSpec, BoundExperts>();
  for (const layer of expertSpecs(spec)) {
    const found = binding.experts(layer);
    if (found.changed.size > 0) experts.set(layer, found);
  }
  const copied = [...liftsOf(spec).flatMap((m) => m.parts), ...routersOf(spec).map((r) => r.matrix)];
  const names = copied.flatMap((part) => part.pieces.map((p) => p.source.name));
  const wanted = new Set(names.filter((module) => adapter.modules.includes(module)));
  const merged = wanted.size > 0 ? merge(wanted) : spec;
  const lifts = binding.copies(liftsOf(spec), liftsOf(merged), (m) => m.parts);
  const routers = binding.copies(routersOf(spec), routersOf(merged), (r) => [r.matrix]);
  for (const [own, copy] of routers) mustFit(own, copy);
  const left = binding.unused();
  if (left.length === 0) return { name, maps, experts, lifts, routers };
  const more = left.length > 3 ? ` and ${left.length - 3} more` : '';
  throw new UnsupportedModel(
    `The adapter ${name} changes ${left.slice(0, 3).join(', ')}${more}, which cannot be changed per request: only attention, feed-forwards, routers, experts that are matrices of their own, and an untied head can. Load it with the option adapter, which merges it into the weights`,
    { adapter: name, modules: left.slice(0, 100) },
  );
}
