/**
 * LoRA adapters that are applied per request: beside each matrix W of attention, of a feed-forward, of the experts, and the head, a low-rank map
 * scale * B A of its own, so that one copy of W serves all. Which matrices an adapter's modules are.
 */
import { UnsupportedModel } from '../../errors.ts';
import { mixerMatrices } from '../../layers/weights.ts';
import type { Adapter, LowRank } from '../../weights/adapters/lora.ts';
import type { PublishedMatrix } from '../../weights/matrix.ts';
import { expertSpecs, type ExpertsSpec, type MatrixSpec, type ModelSpec } from '../describe/specs.ts';

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
}

/** Matrices that every token goes through by a linear map of its own: what lifts latents is taken into queries and results instead. */
export function adaptable({ layers, head, embed }: ModelSpec): MatrixSpec[] {
  const inLayers = layers.flatMap(({ mixer, ffn }) => {
    const dense = ffn.kind === 'dense' ? [ffn] : ffn.kind === 'moe' ? [ffn.shared, ffn.parallel] : [];
    return [
      ...mixerMatrices(mixer)
        .filter((m) => m !== null)
        .filter((m) => mixer.kind !== 'latent' || m !== mixer.kvUp),
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

  experts({ count, matrices }: ExpertsSpec): BoundExperts {
    const changed = new Map<number, ExpertMaps>();
    for (let e = 0; e < count; e++) {
      const { gate, up, down } = matrices(e);
      const maps = { gate: this.rows(gate), up: this.rows(up), down: this.rows(down) };
      if (maps.gate || maps.up || maps.down) changed.set(e, maps);
    }
    const most = (of: (maps: ExpertMaps) => (MapRows | null)[]): number =>
      [...changed.values()].flatMap(of).reduce((rank, rows) => Math.max(rank, rows?.map.rank ?? 0), 0);
    return { changed, gateUpRank: most(({ gate, up }) => [gate, up]), downRank: most(({ down }) => [down]) };
  }

  unused(): string[] {
    return this.#adapter.modules.filter((module) => !this.#used.has(module));
  }
}

/**
 * Finds the matrices of an adapter's modules.
 * @throws UnsupportedModel for modules that cannot be changed per request: routers, embeddings, experts in one tensor, and what the model does not have
 * @throws InvalidCheckpoint `wrong-shape` when the adapter was made for another size
 */
export function bindAdapter(name: string, adapter: Adapter, spec: ModelSpec): BoundAdapter {
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
  const left = binding.unused();
  if (left.length === 0) return { name, maps, experts };
  const more = left.length > 3 ? ` and ${left.length - 3} more` : '';
  throw new UnsupportedModel(
    `The adapter ${name} changes ${left.slice(0, 3).join(', ')}${more}, which cannot be changed per request: only attention (of latent attention not kv_b_proj), feed-forwards, experts and an untied head can. Load it with the option adapter, which merges it into the weights`,
    { adapter: name, modules: left.slice(0, 100) },
  );
}
