/** Which expert leaves when another needs its slot: one interface for the engine and for replaying traces. Pure: no GPU, no clock, no chance. */

export interface PolicyShape {
  readonly layers: number; // MoE layers
  readonly experts: number; // E, the most of any layer
}

export interface ResidencyPolicy {
  readonly name: string;
  /**
   * A step ran `layer` and used these distinct experts. Called once per exact visit, never for a guess or a replayed layer.
   * @param weights each expert's share of the router's weight, summed over the step's tokens
   */
  visit(layer: number, experts: ArrayLike<number>, weights?: ArrayLike<number>): void;
  /**
   * How little the expert is worth keeping while `atLayer` runs: among those that may leave, the largest leaves. Ties leave by the lower
   * (layer, expert). Infinity: never needed again.
   */
  staleness(layer: number, expert: number, atLayer: number): number;
  /** Estimated chance that a visit of its layer uses the expert, 0 to 1: what a speculative load must beat, and what the next session starts from. */
  popularity(layer: number, expert: number): number;
  /** Starts from an earlier session's popularity, [layers, experts]. */
  warm(popularity: ArrayLike<number>): void;
}
