/**
 * The element that shows a router while it is trained: `moe-training`. What trains is the page's, a `Trainer`; here is how it looks. Not part of webmoe/viz:
 * only a page with a trainer needs it, and the package's views are as many bytes as they may be.
 */
import type { Trace } from '../trace/trace.ts';
import { defineView } from './element.ts';

export interface TrainingSettings {
  /** E */
  readonly experts: number;
  /** K */
  readonly topK: number;
  /** Coefficient of the load balancing loss. */
  readonly balance: number;
  readonly seed: number;
}

/** The plane [-1, 1]², cut into `side`² squares, row by row from the top: which rule holds in each. */
export interface Regions {
  readonly side: number;
  readonly count: number;
  /** [side²] */
  readonly labels: Uint8Array;
}

export interface TrainingStep {
  /** Mean squared error of the batch, before the step. */
  readonly error: number;
  /** E Σ f P; 1 at balance, also of the one expert of the dense network. */
  readonly balance: number;
  /** Choices that each expert got, [E]. */
  readonly loads: Uint32Array;
}

/** Who answers where, without noise. */
export interface TrainingLook {
  /** Chosen for each square of the plane, best first: [side², K]; K is 1 for the dense network. */
  readonly experts: Uint32Array;
  readonly weights: Float32Array;
  /** Of the router, [side², E]. */
  readonly logits: Float32Array;
  /** Mean squared error over the plane. */
  readonly error: number;
}

export interface TrainingRun {
  /** Adds one to `steps`; after `denseSteps` of them the layer is copied into experts. */
  step(): Promise<void>;
  readonly steps: readonly TrainingStep[];
  /** Mean squared error over the plane of the dense layer before it was copied; null: not yet. */
  readonly denseError: number | null;
  look(): Promise<TrainingLook>;
  dispose(): void;
}

/** What trains: a dense layer first, then the experts that it was copied into. The same settings give the same run. */
export interface Trainer {
  readonly name: string;
  readonly denseSteps: number;
  /** Of both. */
  readonly steps: number;
  /** Of one expert's weights. */
  readonly expertBytes: number;
  regions(seed: number): Regions;
  /** @throws when this browser or device cannot, with a message for the visitor */
  start(settings: TrainingSettings): Promise<TrainingRun>;
  /** Opens a trace in the page's other views. */
  show?(trace: Trace): void;
}

/** Registers `moe-training`, whose property `trainer` is a `Trainer`. */
export const defineTraining = (): void =>
  defineView('moe-training', () => import('./views/training.ts').then(({ training }) => training), ['trainer']);
