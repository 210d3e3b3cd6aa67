/** Which experts the last tokens used, kept compactly while experts are missing: what the cache could have done is worked out from it later. */
import type { TraceModel } from '../trace/trace.ts';
import type { Visits } from '../trace/visits.ts';
import type { StepRecord } from './step-record.ts';

/** Tokens that are remembered, prompts' included. */
const MOST_TOKENS = 2048;
/** Forgotten at once: the oldest so many. */
const BLOCK_TOKENS = 128;

/** Typed arrays that grow: a block's size is not known before it is full. */
class Block {
  tokens = 0;
  decodeTokens = 0;
  steps = 0;
  visits = 0;
  entries = 0;
  layer = new Uint16Array(256);
  isDecode = new Uint8Array(256);
  step = new Uint32Array(256);
  /** Where a visit's experts end. */
  end = new Uint32Array(256);
  experts = new Uint16Array(2048);
  weights = new Float32Array(2048);

  /** Makes room for a visit of so many experts. */
  reserve(entries: number): void {
    if (this.visits === this.layer.length) {
      this.layer = grown(this.layer, new Uint16Array(2 * this.visits));
      this.isDecode = grown(this.isDecode, new Uint8Array(2 * this.visits));
      this.step = grown(this.step, new Uint32Array(2 * this.visits));
      this.end = grown(this.end, new Uint32Array(2 * this.visits));
    }
    const needed = this.entries + entries;
    if (needed <= this.experts.length) return;
    this.experts = grown(this.experts, new Uint16Array(2 * needed));
    this.weights = grown(this.weights, new Float32Array(2 * needed));
  }
}

function grown<T extends Uint8Array | Uint16Array | Uint32Array | Float32Array>(old: T, larger: T): T {
  larger.set(old);
  return larger;
}

export class VisitLog {
  readonly #mostTokens: number;
  readonly #blocks: Block[] = [];
  #tokens = 0;

  constructor(mostTokens = MOST_TOKENS) {
    this.#mostTokens = mostTokens;
  }

  /** Tokens that it holds: what it was made for, and less than two blocks more. */
  get tokens(): number {
    return this.#tokens;
  }

  add({ layers, phase, tokens }: StepRecord): void {
    let block = this.#blocks.at(-1);
    if (!block || block.tokens >= BLOCK_TOKENS) {
      this.#forget();
      this.#blocks.push((block = new Block()));
    }
    for (let layer = 0; layer < layers.length; layer++) {
      const { brought, ids, weights, rows } = layers[layer]!;
      if (brought.length === 0) continue;
      block.reserve(brought.length);
      let total = 0;
      if (weights) for (const w of weights) total += Math.abs(w);
      for (const { expert } of brought) {
        let share = 1;
        if (rows) share = rows[expert]!;
        else if (ids && weights && total > 0) {
          share = 0;
          for (let k = 0; k < ids.length; k++) if (ids[k] === expert) share += Math.abs(weights[k]!) / total;
        }
        block.experts[block.entries] = expert;
        block.weights[block.entries++] = share;
      }
      block.layer[block.visits] = layer;
      block.isDecode[block.visits] = phase === 'decode' ? 1 : 0;
      block.step[block.visits] = block.steps;
      block.end[block.visits++] = block.entries;
    }
    block.steps++;
    block.tokens += tokens;
    if (phase === 'decode') block.decodeTokens += tokens;
    this.#tokens += tokens;
  }

  #forget(): void {
    for (let oldest; (oldest = this.#blocks[0]) && this.#tokens - oldest.tokens >= this.#mostTokens;) {
      this.#tokens -= oldest.tokens;
      this.#blocks.shift();
    }
  }

  /** All that it holds, as `replay` takes it; a copy. */
  visits(model: TraceModel): Visits {
    const count = (of: (block: Block) => number): number => this.#blocks.reduce((n, block) => n + of(block), 0);
    const visits = count((b) => b.visits);
    const entries = count((b) => b.entries);
    const all = {
      model,
      layer: new Uint16Array(visits),
      isDecode: new Uint8Array(visits),
      step: new Uint32Array(visits),
      start: new Uint32Array(visits + 1),
      experts: new Uint16Array(entries),
      weights: new Float32Array(entries),
      decodeTokens: count((b) => b.decodeTokens),
    };
    let [visit, entry, step] = [0, 0, 0];
    for (const block of this.#blocks) {
      all.layer.set(block.layer.subarray(0, block.visits), visit);
      all.isDecode.set(block.isDecode.subarray(0, block.visits), visit);
      all.experts.set(block.experts.subarray(0, block.entries), entry);
      all.weights.set(block.weights.subarray(0, block.entries), entry);
      for (let v = 0; v < block.visits; v++) {
        all.step[visit + v] = step + block.step[v]!;
        all.start[visit + v + 1] = entry + block.end[v]!;
      }
      visit += block.visits;
      entry += block.entries;
      step += block.steps;
    }
    return all;
  }
}
