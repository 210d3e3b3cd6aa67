/** A model that was loaded over a connection: what is known of it here, and its end. */
import { WorkerLost } from '../errors.ts';
import type { LostDevice, ModelFacts, ModelState } from './calls.ts';
import type { Connection } from './connection.ts';
import type { Split } from './options.ts';

export type RunsIn = 'worker' | 'inline-worker' | 'this-thread';

export type OpenLink = (why: 'load' | 'restart') => Promise<Link>;

export interface Connected {
  readonly connection: Connection;
  readonly runsIn: RunsIn;
}

export class Link {
  readonly connection: Connection;
  readonly runsIn: RunsIn;
  readonly facts: ModelFacts;
  /** Never resolves when the model was disposed. */
  readonly lost: Promise<LostDevice>;
  #isClosed = false;

  private constructor({ connection, runsIn }: Connected, facts: ModelFacts) {
    this.connection = connection;
    this.runsIn = runsIn;
    this.facts = facts;
    this.lost = this.#watch();
  }

  /** Loads the model; a connection over which that failed is closed. */
  static async load(connected: Connected, source: unknown, { options, signal, onEvent }: Split): Promise<Link> {
    const { connection } = connected;
    try {
      const facts = await connection.call('load', [source, options], { signal, onEvent });
      return new Link(connected, facts as ModelFacts);
    } catch (error) {
      connection.close(new WorkerLost('The model was not loaded'));
      throw error;
    }
  }

  get state(): ModelState {
    return (this.connection.note as ModelState | null | undefined) ?? this.facts;
  }

  /** Disposes the model. What is still open rejects with `reason`. */
  async close(reason: Error): Promise<void> {
    this.#isClosed = true;
    try {
      await this.connection.call('dispose', []);
    } catch (error) {
      if (!(error instanceof WorkerLost)) throw error; // with its worker went the model
    } finally {
      this.connection.close(reason);
    }
  }

  async #watch(): Promise<LostDevice> {
    const lost = await this.connection.call('lost', []).catch((error: unknown) => {
      return error instanceof WorkerLost ? { reason: error.code, message: error.message } : null;
    });
    return this.#isClosed || lost === null ? new Promise(() => undefined) : (lost as LostDevice);
  }
}
