/** A dense layer learns four rules at once, badly; then it is copied into experts (sparse upcycling, Komatsuzaki et al. 2023), which share them out. */
import type { TrainingLook, TrainingRun, TrainingSettings, TrainingStep } from '../../src/viz/training.ts';
import { DENSE_STEPS, WIDTH } from './lengths.ts';
import { Network } from './network.ts';
import { FEATURES, generator, makeTask, SIDE, type Task } from './task.ts';

const BATCH = 256;

const DENSE = { hidden_size: FEATURES, intermediate_size: WIDTH, num_experts: 1, max_tokens: SIDE * SIDE } as const;

const MATRICES = ['gate_proj', 'up_proj', 'down_proj'] as const;

export class Upcycling implements TrainingRun {
  readonly steps: TrainingStep[] = [];
  denseError: number | null = null;
  readonly #device: GPUDevice;
  readonly #settings: TrainingSettings;
  readonly #task: Task;
  readonly #random: () => number;
  readonly #onEnd: () => void;
  #network: Network;

  private constructor(device: GPUDevice, settings: TrainingSettings, onEnd: () => void, network: Network) {
    this.#device = device;
    this.#settings = settings;
    this.#onEnd = onEnd;
    this.#task = makeTask(settings.seed);
    this.#random = generator(settings.seed + 1);
    this.#network = network;
  }

  static async start(device: GPUDevice, settings: TrainingSettings, onEnd = (): void => undefined): Promise<Upcycling> {
    return new Upcycling(device, settings, onEnd, await Network.create(device, { ...DENSE, seed: settings.seed }));
  }

  async step(): Promise<void> {
    const { run, error } = await this.#network.train(this.#task.batch(BATCH, this.#random));
    this.steps.push({ error, balance: run.losses.load_balancing, loads: run.exp_counts });
    if (this.steps.length === DENSE_STEPS) await this.#upcycle();
  }

  async #upcycle(): Promise<void> {
    const { experts, topK, balance, seed } = this.#settings;
    const dense = this.#network;
    this.denseError = (await dense.look(this.#task.plane)).error;
    this.#network = await Network.create(this.#device, {
      ...DENSE,
      num_experts: experts,
      k: topK,
      // Weights that add up to 1: equal experts are together what one was. A single choice keeps its probability, as in Switch: it is how the router learns.
      norm_topk_prob: topK > 1,
      loss_coef: { load_balancing: balance },
      seed,
    });
    const { layer, weights } = this.#network;
    for (const name of MATRICES) {
      const one = dense.weights[name];
      weights[name].forEach((_, i, all) => (all[i] = one[i % one.length]!));
    }
    dense.layer.dispose();
    await layer.write(weights);
  }

  async look(): Promise<TrainingLook> {
    const { run, error } = await this.#network.look(this.#task.plane);
    const { experts, weights } = run.dispatch;
    return { experts, weights, logits: await this.#network.layer.readLogits(), error };
  }

  dispose(): void {
    this.#network.layer.dispose();
    this.#onEnd();
  }
}
