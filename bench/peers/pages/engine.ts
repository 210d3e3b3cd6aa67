/** What each engine's page offers to the bench, as `window.engine`. */
import { readCounts, type GpuCounts } from './count-gpu.ts';

export interface Engine {
  /** Everything before the first prompt. */
  load(options: EngineOptions): Promise<void>;
  /** Greedy. Waits for `onToken` after each of `tokens` tokens; nothing of an earlier prompt may be used again. */
  generate(prompt: readonly number[], tokens: number, onToken: () => Promise<void>): Promise<void>;
}

export interface EngineOptions {
  /** Longest sequence. */
  readonly contextLength: number;
  /** webmoe's option `weights`. */
  readonly weights: 'as-is' | 'q8' | 'q4';
}

/** Milliseconds on the clock, and of the processor in all processes of the browser. */
export interface Cost {
  readonly ms: number;
  readonly cpuMs: number;
}

export interface Timing {
  readonly prompt: Cost;
  /** Each, of those after the first; null for one token. */
  readonly token: Cost | null;
}

declare global {
  interface Window {
    /** The bench's: CPU time of the browser so far. */
    cpuMs(): Promise<number>;
    engine: {
      load(options: EngineOptions): Promise<Cost>;
      time(prompt: readonly number[], tokens: number): Promise<Timing>;
      counts(): Promise<GpuCounts>;
    };
  }
}

/** What ran between two moments, each taken before and after asking for the CPU time, which itself takes a moment. */
class Clock {
  #ms = 0;
  #cpuMs = 0;

  async start(): Promise<void> {
    this.#cpuMs = await window.cpuMs();
    this.#ms = performance.now();
  }

  async stop(over = 1): Promise<Cost> {
    const ms = (performance.now() - this.#ms) / over;
    return { ms, cpuMs: ((await window.cpuMs()) - this.#cpuMs) / over };
  }
}

/** Puts an engine on the page. */
export function offer(engine: Engine): void {
  const clock = new Clock();
  window.engine = {
    counts: readCounts,
    async load(options) {
      await clock.start();
      await engine.load(options);
      return clock.stop();
    },
    async time(ids, tokens) {
      let prompt: Cost | null = null;
      let token: Cost | null = null;
      let done = 0;
      await clock.start();
      await engine.generate(ids, tokens, async () => {
        done++;
        if (done === 1) {
          prompt = await clock.stop();
          await clock.start();
        } else if (done === tokens) token = await clock.stop(tokens - 1);
      });
      return { prompt: prompt!, token };
    },
  };
}
