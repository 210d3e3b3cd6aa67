/** The programs of a session: under each adapter, with the routers' logits, of steps that guess. Each is recorded when it is first asked for, and kept. */
import type { Forward } from '../forward.ts';
import {
  recordAdapted,
  recordBodies,
  recordFew,
  recordPrograms,
  type FewPrograms,
  type FirstPrograms,
  type Programs,
} from '../programs.ts';
import type { Bodies } from '../stepper.ts';

export class RecordedPrograms {
  readonly #forward: Forward;
  #base: Programs;
  /** Under the request's adapter. */
  #current: Programs;
  /** Null: none. */
  #adapter: string | null = null;
  readonly #adapted = new Map<string, Promise<Programs>>();
  /** With logits in the routing logs: recorded for the first request that wants them. */
  #logitBodies: Promise<Bodies> | null = null;
  /** Of steps that guess: recorded at load where they guess by default, else for the first request that wants them. */
  #few: Promise<FewPrograms> | null = null;

  constructor(forward: Forward, { programs, few }: FirstPrograms) {
    this.#forward = forward;
    this.#base = this.#current = programs;
    this.#few = few && Promise.resolve(few);
  }

  get current(): Programs {
    return this.#current;
  }

  get adapter(): string | null {
    return this.#adapter;
  }

  /** Null where they were not recorded yet. */
  get few(): Promise<FewPrograms> | null {
    return this.#few;
  }

  /** Records every program again: after arenas were replaced. */
  async again(): Promise<void> {
    this.#logitBodies = null;
    this.#few = null;
    this.#adapted.clear();
    this.#base = await recordPrograms(this.#forward);
    this.#current = await this.#under(this.#adapter);
  }

  async adapt(adapter: string | null): Promise<void> {
    this.#current = await this.#under(adapter);
    this.#adapter = adapter;
    this.#logitBodies = null;
    this.#few = null;
  }

  async #under(adapter: string | null): Promise<Programs> {
    if (adapter === null) return this.#base;
    let recorded = this.#adapted.get(adapter);
    if (!recorded) this.#adapted.set(adapter, (recorded = recordAdapted(this.#forward, this.#base, adapter)));
    return recorded.catch((error: unknown) => {
      this.#adapted.delete(adapter);
      throw error;
    });
  }

  /** @throws OutOfBudget when the GPU has no room for the logits of all routers */
  bodies(logits: boolean): Promise<Bodies> | Bodies {
    if (!logits) return this.#current.bodies;
    return (this.#logitBodies ??= this.#recordLogitBodies().catch((error: unknown) => {
      this.#logitBodies = null;
      throw error;
    }));
  }

  async #recordLogitBodies(): Promise<Bodies> {
    return recordBodies(this.#forward, { logs: await this.#forward.logitLogs(), adapter: this.#adapter });
  }

  prepareFew(): Promise<FewPrograms> {
    this.#few ??= recordFew(this.#forward, this.#current.bodies.few, this.#adapter).catch((error: unknown) => {
      this.#few = null;
      throw error;
    });
    return this.#few;
  }
}
