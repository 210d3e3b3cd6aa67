/**
 * One conversation on the GPU: which tokens the KV cache holds, prefill in chunks, one token at a time after that.
 * One submit and one small readback a token; nothing is created after `open`.
 */
import { subview, type BufferView } from '../gpu/buffer.ts';
import { InvalidCheckpoint } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { Readback } from '../gpu/readback.ts';
import type { Program } from '../gpu/recording.ts';
import type { SamplingParams } from '../gpu/step.ts';
import { promptCounts, readSampled, SAMPLED_BYTES, SAMPLED_WORDS } from '../kernels/sample/sample.ts';
import { wholeBuffer } from '../gpu/buffer.ts';
import { invariant } from '../util/assert.ts';
import type { Batch, Forward } from './forward.ts';

/** Which experts one token took in one MoE layer, in the order of their rank. */
export interface LayerRouting {
  readonly ids: Uint32Array; // [K]
  readonly weights: Float32Array; // [K]
}

export interface DrawnToken {
  readonly id: number;
  /** Natural logarithm of its probability under the plain softmax of the logits. */
  readonly logprob: number;
  /** Routing of the step that produced it, one entry a MoE layer. */
  readonly routing: readonly LayerRouting[];
}

const notFinite = (brokenLogits: number): InvalidCheckpoint =>
  new InvalidCheckpoint(
    'not-finite',
    `The model computed ${brokenLogits} logits that are no finite numbers: its weights are damaged, or overflow f32`,
    { brokenLogits },
  );

function assertFinite(logits: Float32Array): void {
  let broken = 0;
  for (const logit of logits) if (!Number.isFinite(logit)) broken++;
  if (broken > 0) throw notFinite(broken);
}

export class Session {
  readonly #gpu: Gpu;
  readonly #forward: Forward;
  readonly #prefillBody: Program;
  readonly #decodeBody: Program;
  readonly #head: Program;
  readonly #sampling: Program;
  readonly #readback: Readback;
  #cached: number[] = [];

  private constructor(
    gpu: Gpu,
    forward: Forward,
    programs: { prefillBody: Program; decodeBody: Program; head: Program; sampling: Program },
  ) {
    this.#gpu = gpu;
    this.#forward = forward;
    this.#prefillBody = programs.prefillBody;
    this.#decodeBody = programs.decodeBody;
    this.#head = programs.head;
    this.#sampling = programs.sampling;
    this.#readback = new Readback(gpu, 'token', SAMPLED_BYTES + forward.routing('one').view.size);
  }

  static async open(gpu: Gpu, forward: Forward): Promise<Session> {
    const [decodeBody, prefillBody, head, sampling] = await Promise.all([
      forward.body('one'),
      forward.body('chunk'),
      forward.lastLogits(),
      forward.sampling(),
    ]);
    return new Session(gpu, forward, { decodeBody, prefillBody, head, sampling });
  }

  /** Tokens whose keys and values are in the cache. */
  get cached(): readonly number[] {
    return this.#cached;
  }

  /** How many leading tokens of `ids` need not be computed again; the last one always is, for its logits. */
  reusable(ids: readonly number[]): number {
    const most = Math.min(this.#cached.length, ids.length - 1);
    let n = 0;
    while (n < most && this.#cached[n] === ids[n]) n++;
    return n;
  }

  forget(): void {
    this.#cached = [];
  }

  /** Prepares the token counts that penalties read. Once a request. */
  startRequest(prompt: readonly number[]): void {
    this.#gpu.write(this.#forward.counts, promptCounts(prompt, this.#forward.config.vocab));
  }

  /**
   * Runs what is new of `prompt` and draws the token after it.
   * @param onChunk called after each chunk with the number of prompt tokens in the cache
   */
  async prefill(
    prompt: readonly number[],
    sampling: SamplingParams,
    signal?: AbortSignal,
    onChunk?: (done: number) => void,
  ): Promise<DrawnToken> {
    invariant(prompt.length > 0, 'an empty prompt');
    const { prefillChunk } = this.#forward.plan;
    this.#cached.length = this.reusable(prompt);
    for (;;) {
      signal?.throwIfAborted();
      const position = this.#cached.length;
      const chunk = prompt.slice(position, position + prefillChunk);
      const isLast = position + chunk.length === prompt.length;
      this.#gpu.write(this.#forward.ids, Uint32Array.from(chunk));
      if (isLast) return this.#run(chunk, sampling);
      await this.#advance(chunk, sampling);
      onChunk?.(this.#cached.length);
    }
  }

  /** Feeds the token drawn last (already first in `ids` on the GPU) and draws the next. */
  step(last: number, sampling: SamplingParams): Promise<DrawnToken> {
    return this.#run([last], sampling);
  }

  /** A chunk in the middle of a prompt: no logits. */
  async #advance(chunk: readonly number[], sampling: SamplingParams): Promise<void> {
    const shape = { tokens: chunk.length, position: this.#cached.length };
    this.#forward.setStep(shape.tokens, shape.position, sampling);
    const encoder = this.#gpu.device.createCommandEncoder();
    this.#body(chunk.length).encode(encoder, shape);
    this.#gpu.submit(encoder.finish());
    await this.#gpu.idle(); // one chunk in flight: stop stops, and a slow GPU's watchdog sees short submits
    this.#cached.push(...chunk);
  }

  #body(tokens: number): Program {
    return tokens === 1 ? this.#decodeBody : this.#prefillBody;
  }

  async #run(tokens: readonly number[], sampling: SamplingParams): Promise<DrawnToken> {
    const forward = this.#forward;
    const shape = { tokens: tokens.length, position: this.#cached.length };
    forward.setStep(shape.tokens, shape.position, sampling);
    const encoder = this.#gpu.device.createCommandEncoder();
    this.#body(tokens.length).encode(encoder, shape);
    this.#head.encode(encoder, shape);
    this.#sampling.encode(encoder, shape);
    const decode = forward.routing('one');
    if (tokens.length > 1) this.#copyLastRouting(encoder, tokens.length, decode.view);
    this.#readback.encode(encoder, forward.sampled);
    this.#readback.encode(encoder, decode.view, SAMPLED_BYTES);
    this.#gpu.submit(encoder.finish());
    const bytes = await this.#readback.read(SAMPLED_BYTES + decode.view.size);
    this.#cached.push(...tokens);
    return this.#drawn(bytes);
  }

  /** The routing of a prompt's last token goes where a decode step would leave it. */
  #copyLastRouting(encoder: GPUCommandEncoder, tokens: number, to: BufferView): void {
    const from = this.#forward.routing('chunk');
    this.#forward.routing('one').slices.forEach(({ topK, offset }, m) => {
      const bytes = topK * 2 * 4;
      const source = subview(from.view, from.slices[m]!.offset + (tokens - 1) * bytes, bytes);
      encoder.copyBufferToBuffer(source.buffer, source.offset, to.buffer, to.offset + offset, bytes);
    });
  }

  #drawn(bytes: ArrayBuffer): DrawnToken {
    const routing = this.#forward.routing('one').slices.map(({ topK, offset }): LayerRouting => {
      const at = SAMPLED_BYTES + offset;
      return { ids: new Uint32Array(bytes, at, topK), weights: new Float32Array(bytes, at + 4 * topK, topK) };
    });
    const { id, logprob, brokenLogits } = readSampled(new Uint32Array(bytes, 0, SAMPLED_WORDS));
    if (brokenLogits > 0) throw notFinite(brokenLogits);
    return { id, logprob, routing };
  }

  /**
   * Logits of every token of `ids`, from an empty cache, in chunks; with the routing and, when asked, the hidden states.
   * A tool for tests, perplexity and `webmoe logits`, not for chatting: it makes buffers of its own.
   */
  async logits(
    ids: readonly number[],
    options: { readonly hidden?: boolean; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<LogitsResult> {
    const { config, plan } = this.#forward;
    const { vocab, hidden } = config;
    const layers = config.layers.length;
    const limit = this.#gpu.facts.limits.maxStorageBufferBindingSize;
    const widest = Math.max(vocab, options.hidden ? (layers + 1) * hidden : 0);
    const most = Math.max(1, Math.min(plan.prefillChunk, Math.floor(limit / (4 * widest))));
    const scratch = (label: string, bytes: number): BufferView =>
      wholeBuffer(this.#gpu.createBuffer(label, 'activations', bytes));
    const out = scratch('all logits', most * vocab * 4);
    const normed = scratch('final norm', most * hidden * 4);
    const taps = options.hidden ? scratch('taps', (layers + 1) * most * hidden * 4) : null;
    try {
      const all = await this.#forward.allLogits(out, normed);
      const bodies = taps
        ? {
            one: await this.#forward.body('one', { hidden: taps, tokens: most }),
            chunk: await this.#forward.body('chunk', { hidden: taps, tokens: most }),
          }
        : null;
      const routing = this.#forward.routing('one').slices.map(({ topK }): LayerRouting => ({
        ids: new Uint32Array(ids.length * topK),
        weights: new Float32Array(ids.length * topK),
      }));
      const result: LogitsResult = {
        logits: new Float32Array(ids.length * vocab),
        routing,
        hidden: taps ? new Float32Array((layers + 1) * ids.length * hidden) : null,
      };
      this.forget();
      for (let position = 0; position < ids.length; position += most) {
        options.signal?.throwIfAborted();
        const chunk = ids.slice(position, position + most);
        const shape = { tokens: chunk.length, position };
        this.#gpu.write(this.#forward.ids, Uint32Array.from(chunk));
        this.#forward.setStep(shape.tokens, position);
        const encoder = this.#gpu.device.createCommandEncoder();
        const batch: Batch = chunk.length === 1 ? 'one' : 'chunk';
        (bodies?.[batch] ?? this.#body(chunk.length)).encode(encoder, shape);
        all.encode(encoder, shape);
        this.#gpu.submit(encoder.finish());
        this.#cached.push(...chunk);
        const logits = new Float32Array(await this.#gpu.read(subview(out, 0, chunk.length * vocab * 4)));
        assertFinite(logits);
        result.logits.set(logits, position * vocab);
        await this.#readRouting(batch, chunk.length, position, routing);
        if (taps && result.hidden) {
          for (let l = 0; l <= layers; l++) {
            const view =
              l < layers
                ? subview(taps, l * most * hidden * 4, chunk.length * hidden * 4)
                : subview(normed, 0, chunk.length * hidden * 4);
            result.hidden.set(new Float32Array(await this.#gpu.read(view)), (l * ids.length + position) * hidden);
          }
        }
      }
      return result;
    } finally {
      for (const view of [out, normed, taps]) if (view) this.#gpu.destroyBuffer(view.buffer);
    }
  }

  async #readRouting(batch: Batch, tokens: number, position: number, into: readonly LayerRouting[]): Promise<void> {
    const { view, slices } = this.#forward.routing(batch);
    if (!slices.length) return;
    const bytes = await this.#gpu.read(view);
    slices.forEach(({ topK, offset }, m) => {
      for (let t = 0; t < tokens; t++) {
        const at = offset + t * topK * 8;
        into[m]!.ids.set(new Uint32Array(bytes, at, topK), (position + t) * topK);
        into[m]!.weights.set(new Float32Array(bytes, at + 4 * topK, topK), (position + t) * topK);
      }
    });
  }

  dispose(): void {
    this.#readback.dispose();
  }
}

export interface LogitsResult {
  readonly logits: Float32Array; // [T, V]
  /** One entry a MoE layer: ids and weights [T, K], in rank order. */
  readonly routing: readonly LayerRouting[];
  /** [L+1, T, D]: embedding output, the residual stream after each layer but the last, the final norm's output. */
  readonly hidden: Float32Array | null;
}
