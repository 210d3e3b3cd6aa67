/**
 * Runs the model's layers for a token or a chunk of a prompt, exactly, wherever its experts are.
 *
 *   resident    every expert has its slot: one submit
 *   optimistic  one submit as if it were so; what the token's routing shows to have been missing is fetched, and the token starts again from the first
 *               layer that missed, whose input was kept. What later layers chose on the way is a good guess of what they will choose.
 *   lockstep    a submit and a readback a layer: its experts are fetched before they run
 *   waves       a chunk of a prompt, a layer at a time: experts that are there first, then the others in waves, each fetched once
 *
 * All four run the same kernels on the same bytes and give the same bits.
 */
import { subview, type BufferView } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { Readback } from '../gpu/readback.ts';
import type { Program, StepShape } from '../gpu/recording.ts';
import { BESIDE_RUNS, BESIDE_WAITS, MISSING_SLOT } from '../moe/slots.ts';
import type { ExpertStore } from '../moe/store.ts';
import { invariant } from '../util/assert.ts';
import { logitsAt, predictedAt } from '../kernels/moe/route.ts';
import { readSampled, SAMPLED_WORDS, type SampledToken } from '../kernels/sample/sample.ts';
import { fewReadbackBytes, MOST_AHEAD, moeLayers } from './activations.ts';
import type { Forward } from './forward.ts';
import type { Body } from './forward/body.ts';
import type { RoutedSlice, RoutingLog, RoutingLogs } from './forward/routing-log.ts';
import { chunkRoutingAt, distinct, routingAt, sharesOf, type LayerRouting } from './routing.ts';
import type { ModePicker } from './mode.ts';
import type { FewPrograms } from './programs.ts';
import type { StepRecord } from './step-record.ts';

/** What comes after the layers, in the same submit. */
export interface Tail {
  readonly programs: readonly Program[];
  /** Copied back before the routing of the last token. */
  readonly view: BufferView | null;
  /** Takes back what the programs changed when the pass turns out to have been a guess. @param bytes of `view` */
  undo(bytes: ArrayBuffer): void;
}

export interface TailResult {
  readonly bytes: ArrayBuffer;
  /** Of the last token, one entry a MoE layer; empty when nobody asked. */
  readonly routing: readonly LayerRouting[];
}

export interface FewResult {
  /** One a token of the step. */
  readonly draws: readonly SampledToken[];
  /** By token, one entry a MoE layer; empty when nobody asked. */
  readonly routing: readonly (readonly LayerRouting[])[];
}

export interface Bodies {
  readonly one: Body;
  /** Where some steps run as a few. */
  readonly few: Body | null;
  readonly chunk: Body;
  /** The same as `chunk`, in waves. */
  readonly waves: Body;
  /** Where their routing goes. */
  readonly logs: RoutingLogs;
}

export interface Step {
  readonly shape: StepShape;
  readonly bodies: Bodies;
  readonly tail: Tail | null;
  readonly signal?: AbortSignal | undefined;
  readonly record: StepRecord;
  /** Whether `TailResult.routing` is wanted; without it, a step that needs none itself reads none back. */
  readonly readsRouting: boolean;
  /** The encoder reads a text, of however few tokens. Default: tokens of the one stack, or of the decoder. */
  readonly encodes?: boolean;
}

/** How many waves the missing experts of a layer come in at most, slots permitting: computing starts when the first is there. */
const WAVES = 4;
const LEAST_WAVE = 4;

export interface StepperParts {
  readonly gpu: Gpu;
  readonly forward: Forward;
  readonly store: ExpertStore;
  readonly modes: ModePicker;
  /** Bytes of the largest `Tail.view`. */
  readonly tailBytes: number;
}

export class Stepper {
  readonly #gpu: Gpu;
  readonly #forward: Forward;
  readonly #store: ExpertStore;
  readonly #modes: ModePicker;
  #readback: Readback;
  #readbackBytes: number;
  /** Rows of each expert, of one layer of a chunk. */
  readonly #rows: Readback;
  /** Of steps of one that run ahead: those that nothing is on its way to. */
  readonly #free: Readback[];
  readonly #ring: readonly Readback[];
  readonly #few: Readback | null;

  constructor({ gpu, forward, store, modes, tailBytes }: StepperParts) {
    this.#gpu = gpu;
    this.#forward = forward;
    this.#store = store;
    this.#modes = modes;
    this.#readbackBytes = tailBytes + forward.logs.one.view.size;
    this.#readback = new Readback(gpu, 'token', this.#readbackBytes);
    this.#rows = new Readback(gpu, 'expert rows', 4 * Math.max(1, ...store.experts));
    this.#ring = Array.from({ length: 1 + MOST_AHEAD }, () => new Readback(gpu, 'token ahead', this.#readbackBytes));
    this.#free = [...this.#ring];
    const few = forward.most('few');
    this.#few = few > 1 ? new Readback(gpu, 'a few tokens', fewReadbackBytes(few, forward.logs.few.view.size)) : null;
  }

  /** One exact step. Without a tail nothing comes back. @throws what a fetch threw; the step can be run again */
  async run(step: Step): Promise<TailResult | null> {
    const { tokens } = step.shape;
    const { encodes = false } = step;
    await this.#reserve(routingBehind(step.tail) + step.bodies.logs.one.view.size);
    if (this.#store.isComplete) {
      step.record.mode = 'resident';
      const readsRouting = step.readsRouting || step.record.isWanted;
      step.record.batch = encodes ? 'chunk' : this.#forward.batchOf(tokens);
      const body = step.bodies[step.record.batch];
      invariant(body, 'a few tokens, and no program for them');
      const result = await this.#finish(step, body, 0, readsRouting);
      if (result && tokens === 1) this.account(step.record, result.routing);
      return result;
    }
    if (tokens > 1 || encodes) {
      step.record.batch = 'chunk';
      step.record.mode = 'lockstep';
      return this.#waves(step);
    }
    const mode = this.#modes.pick();
    step.record.mode = mode;
    return mode === 'optimistic' ? this.#optimistic(step) : this.#lockstep(step);
  }

  /** Routing with logits takes more room than without. */
  async #reserve(bytes: number): Promise<void> {
    if (bytes <= this.#readbackBytes) return;
    const larger = await this.#gpu.allocating('reading tokens back', () => new Readback(this.#gpu, 'token', bytes));
    this.#readback.dispose();
    this.#readbackBytes = bytes;
    this.#readback = larger;
  }

  /** Runs `body` from step `begin` to its end, then the tail; waits for what comes back. */
  async #finish(
    { shape, tail, record, bodies: { logs } }: Step,
    { program }: Body,
    begin: number,
    readsRouting = true,
  ): Promise<TailResult | null> {
    const encoder = this.#gpu.device.createCommandEncoder();
    program.encode(encoder, shape, { begin });
    for (const p of tail?.programs ?? []) p.encode(encoder, shape);
    if (!tail) {
      this.#gpu.submit(encoder.finish());
      await this.#gpu.idle(); // one chunk in flight: stop stops, and a slow GPU's watchdog sees short submits
      return null;
    }
    const { view: routed, slices } = logs.one;
    const at = routingBehind(tail);
    if (tail.view) this.#readback.encode(encoder, tail.view);
    if (readsRouting) {
      if (shape.tokens > 1) copyLastRouting(encoder, logs.one, logs[record.batch], shape.tokens);
      this.#readback.encode(encoder, routed, at);
    }
    this.#gpu.submit(encoder.finish());
    const bytes = await this.#readback.read(at + (readsRouting ? routed.size : 0));
    const routing = readsRouting ? slices.map((s) => routingAt(bytes, at + s.offset, s)) : [];
    return { bytes, routing };
  }

  /** Whether a step can be submitted before what the others bring back was read. */
  get hasRoom(): boolean {
    return this.#free.length > 0;
  }

  /** Submits a step of one token whose experts are all there. @returns what it brings back, when it is there */
  submit({ shape, tail, bodies: { one, logs }, readsRouting }: Omit<Step, 'record'>): Promise<TailResult> {
    const readback = this.#free.pop();
    invariant(readback && tail?.view, 'no room for a step ahead, or nothing to read');
    const encoder = this.#gpu.device.createCommandEncoder();
    one.program.encode(encoder, shape);
    for (const p of tail.programs) p.encode(encoder, shape);
    readback.encode(encoder, tail.view);
    const { view: routed, slices } = logs.one;
    const at = tail.view.size;
    if (readsRouting) readback.encode(encoder, routed, at);
    this.#gpu.submit(encoder.finish());
    return readback
      .read(at + (readsRouting ? routed.size : 0))
      .then((bytes) => ({ bytes, routing: readsRouting ? slices.map((s) => routingAt(bytes, at + s.offset, s)) : [] }))
      .finally(() => this.#free.push(readback));
  }

  /** A step of a few tokens whose experts are all there, with a draw after each. */
  async few({ body, after }: FewPrograms, shape: StepShape, readsRouting: boolean): Promise<FewResult> {
    invariant(this.#few && this.#store.isComplete, 'a few tokens whose experts may be missing');
    const encoder = this.#gpu.device.createCommandEncoder();
    body.program.encode(encoder, shape);
    for (const p of after) p.encode(encoder, shape);
    const { view: routed, slices } = this.#forward.logs.few;
    const { tokens } = shape;
    const at = 4 * SAMPLED_WORDS * tokens;
    this.#few.encode(encoder, subview(this.#forward.draws.sampled, 0, at));
    if (readsRouting) this.#few.encode(encoder, routed, at);
    this.#gpu.submit(encoder.finish());
    const bytes = await this.#few.read(at + (readsRouting ? routed.size : 0));
    const draws = Array.from({ length: tokens }, (_, t) =>
      readSampled(new Uint32Array(bytes, 4 * SAMPLED_WORDS * t, SAMPLED_WORDS)),
    );
    if (!readsRouting) return { draws, routing: draws.map(() => []) };
    const layers = slices.map((s) => chunkRoutingAt(bytes, at + s.offset, tokens, s));
    return { draws, routing: draws.map((_, t) => layers.map((layer, m) => tokenOf(layer, t, slices[m]!.topK))) };
  }

  /** A token that found all its experts in their slots. */
  account(record: StepRecord, routing: readonly LayerRouting[]): void {
    if (!record.isWanted) return;
    routing.forEach(({ ids, weights }, layer) => {
      const experts = this.#weighted(layer, ids);
      if (ids.length > 0)
        record.layer(layer, { ids, weights, brought: experts.map((expert) => ({ expert, origin: 'slot', bytes: 0 })) });
    });
  }

  async #optimistic(step: Step): Promise<TailResult> {
    const { bodies, record, signal } = step;
    const store = this.#store;
    const { marks } = bodies.one;
    const { slices } = bodies.logs.one;
    let exact = 0; // layers below are exact
    let begin = 0;
    for (;;) {
      // What later submits change does not concern this one.
      const there = store.residency.snapshot();
      const result = (await this.#finish(step, bodies.one, begin))!;
      const isThere = (layer: number): boolean =>
        this.#weighted(layer, result.routing[layer]!.ids).every((e) => store.residency.inSnapshot(there, layer, e));
      for (; exact < marks.length && isThere(exact); exact++) {
        this.#accountPresent(record, exact, result.routing[exact]!);
        const slice = slices[exact]!;
        record.predict(exact + 1, predictedBy(result.bytes, routingBehind(step.tail) + slice.offset, slice));
      }
      if (exact === marks.length) return result;
      step.tail?.undo(result.bytes);
      record.replays++;
      await this.#fetchMissing(exact, result.routing, step);
      signal?.throwIfAborted();
      begin = marks[exact]!.route;
    }
  }

  #accountPresent(record: StepRecord, layer: number, { ids, weights }: LayerRouting): void {
    const experts = this.#weighted(layer, ids);
    if (ids.length === 0) return; // a layer of the other stack
    this.#store.policy.visit(layer, experts, sharesOf(experts, { ids, weights }));
    const brought = experts.map((expert) => ({ expert, origin: this.#store.use(layer, expert), bytes: 0 }));
    record.layer(layer, { ids, weights, brought });
  }

  /** The experts of the first layer that missed, for certain; and those that later layers seem to want, as far as there is room. */
  async #fetchMissing(layer: number, routing: readonly LayerRouting[], { record, signal }: Step): Promise<void> {
    const wanted = routing.map(({ ids }, l) => new Set(this.#weighted(l, ids)));
    const isWanted = (l: number, e: number): boolean => l >= layer && wanted[l]!.has(e);
    const sure = this.#store.bring(layer, [...wanted[layer]!], {
      atLayer: layer,
      isKept: () => false,
      isSpared: isWanted,
      signal,
    });
    const options = { atLayer: layer, isKept: isWanted, signal };
    const guesses: Promise<unknown>[] = [];
    for (let l = layer + 1; l < routing.length; l++) {
      for (const expert of wanted[l]!) {
        const guess = this.#store.guess(l, expert, options, true);
        if (guess) guesses.push(guess.then((filled) => filled && record.moved(filled)));
      }
    }
    const settled = await record.waitFor(Promise.allSettled([sure, ...guesses]));
    if (settled[0].status === 'rejected') throw settled[0].reason;
    record.early(layer, settled[0].value);
  }

  async #lockstep(step: Step): Promise<TailResult> {
    const { bodies, shape, record, signal } = step;
    const { program, marks } = bodies.one;
    const { view, slices } = bodies.logs.one;
    let begin = 0;
    for (const [layer, { experts: end }] of marks.entries()) {
      const slice = slices[layer]!;
      if (slice.topK === 0) continue;
      const encoder = this.#gpu.device.createCommandEncoder();
      program.encode(encoder, shape, { begin, end });
      const bytes = (slices[layer + 1]?.offset ?? view.size) - slice.offset;
      this.#readback.encode(encoder, subview(view, slice.offset, bytes));
      this.#gpu.submit(encoder.finish());
      const read = await this.#readback.read(bytes);
      const routing = routingAt(read, 0, slice);
      await this.#bring(layer, routing, { record, signal });
      const predicted = predictedBy(read, 0, slice);
      record.predict(layer + 1, predicted);
      this.#guess(layer, new Set(routing.ids), predicted, { record, signal });
      begin = end;
    }
    return (await this.#finish(step, bodies.one, begin))!;
  }

  /** What the next layer will likely want comes while this one computes, as far as the link has time to spare. */
  #guess(
    layer: number,
    inUse: ReadonlySet<number>,
    predicted: Uint32Array,
    { record, signal }: Pick<Step, 'record' | 'signal'>,
  ): void {
    const { governor } = this.#store;
    let left = governor.width;
    const isKept = (l: number, e: number): boolean =>
      (l === layer && inUse.has(e)) || (l === layer + 1 && predicted.includes(e));
    for (const expert of predicted) {
      if (left === 0) return;
      const guess = this.#store.guess(layer + 1, expert, { atLayer: layer, isKept, signal });
      if (!guess) continue;
      left--;
      void guess.then((filled) => filled && record.moved(filled));
    }
  }

  async #bring(
    layer: number,
    { ids, weights }: LayerRouting,
    { record, signal }: Pick<Step, 'record' | 'signal'>,
  ): Promise<void> {
    const experts = this.#weighted(layer, ids);
    this.#store.dropGuesses(layer, (e) => experts.includes(e));
    this.#store.policy.visit(layer, experts, sharesOf(experts, { ids, weights }));
    const bringing = this.#store.bring(layer, experts, { atLayer: layer, isKept: () => false, signal });
    const brought = await record.waitFor(bringing);
    record.layer(layer, { ids, weights, brought });
  }

  async #waves(step: Step): Promise<TailResult | null> {
    const { bodies, shape, signal } = step;
    const { program, marks } = bodies.waves;
    let begin = 0;
    for (const [layer, { experts: end }] of marks.entries()) {
      signal?.throwIfAborted();
      if (bodies.logs.chunk.slices[layer]!.topK === 0) continue;
      const encoder = this.#gpu.device.createCommandEncoder();
      program.encode(encoder, shape, { begin, end });
      const rows = subview(this.#forward.expertRows, 0, 4 * this.#store.experts[layer]!);
      this.#rows.encode(encoder, rows);
      this.#gpu.submit(encoder.finish());
      await this.#wavesOf(layer, new Uint32Array(await this.#rows.read(rows.size)), step);
      begin = end; // the last wave goes with what follows
    }
    return this.#finish(step, bodies.waves, begin);
  }

  /** Runs all waves of a layer but the last, which is left set up for the next submit. */
  async #wavesOf(layer: number, rows: Uint32Array, { bodies, shape, record, signal }: Step): Promise<void> {
    const store = this.#store;
    const { program, marks } = bodies.waves;
    const { topK } = bodies.logs.chunk.slices[layer]!;
    const needed = [...rows.keys()].filter((e) => rows[e]! > 0);
    store.policy.visit(
      layer,
      needed,
      needed.map((e) => rows[e]! / topK), // as if a token's experts had equal weights
    );
    const present = needed.filter((e) => store.residency.has(layer, e));
    const missing = needed.filter((e) => !store.residency.has(layer, e));
    record.layer(layer, {
      brought: present.map((expert) => ({ expert, origin: store.use(layer, expert), bytes: 0 })),
      rows,
    });
    this.#setWave(layer, present, missing.length === 0);
    if (missing.length === 0) return;
    const run = (): void => {
      const encoder = this.#gpu.device.createCommandEncoder();
      program.encode(encoder, shape, { begin: marks[layer]!.experts, end: marks[layer]!.combine });
      this.#gpu.submit(encoder.finish());
    };
    const size = Math.min(store.residency.slotsOf(layer), Math.max(LEAST_WAVE, Math.ceil(missing.length / WAVES)));
    for (let at = 0; at < missing.length; at += size) {
      if (at > 0 || present.length > 0) run();
      const wave = missing.slice(at, at + size);
      const bringing = store.bring(layer, wave, { atLayer: layer, isKept: () => false, signal });
      const brought = await record.waitFor(bringing);
      record.layer(layer, { brought, rows });
      this.#setWave(layer, wave, at + size >= missing.length);
    }
  }

  /** The experts among `ids` that need a slot: those with weights. */
  #weighted(layer: number, ids: Uint32Array): number[] {
    return distinct(ids).filter((e) => e < this.#store.experts[layer]!);
  }

  /** The shared expert goes with the last wave. */
  #setWave(layer: number, experts: readonly number[], isLast: boolean): void {
    const count = this.#store.experts[layer]!;
    const table = new Uint32Array(count + 1).fill(MISSING_SLOT);
    for (const e of experts) table[e] = this.#store.residency.slotOf(layer, e)!;
    const { shared } = moeLayers(this.#forward.config)[layer]!;
    if (shared) table[count] = isLast ? BESIDE_RUNS : BESIDE_WAITS; // else the place may be that of an expert without weights
    this.#forward.homes.setWave(table);
  }

  dispose(): void {
    this.#readback.dispose();
    this.#rows.dispose();
    for (const readback of this.#ring) readback.dispose();
    this.#few?.dispose();
  }
}

/** Of [T, K], token t alone. */
const tokenOf = ({ ids, weights }: LayerRouting, t: number, topK: number): LayerRouting => ({
  ids: ids.subarray(t * topK, (t + 1) * topK),
  weights: weights.subarray(t * topK, (t + 1) * topK),
});

/** Where the routing lies in what comes back. */
const routingBehind = (tail: Tail | null): number => tail?.view?.size ?? 0;

/** Ids that a layer's router predicted for the next, best first; empty where it predicts none. */
const predictedBy = (bytes: ArrayBuffer, at: number, { topK, predicted }: RoutedSlice): Uint32Array =>
  new Uint32Array(bytes, at + predictedAt(1, topK), predicted);

/** The routing of a prompt's last token goes where a decode step would leave it. */
function copyLastRouting(encoder: GPUCommandEncoder, one: RoutingLog, many: RoutingLog, tokens: number): void {
  one.slices.forEach(({ topK, predicted, logits, offset: to }, m) => {
    const { offset: from, predicted: behind } = many.slices[m]!;
    const copy = (source: number, goal: number, bytes: number): void => {
      const [a, b] = [subview(many.view, from + source, bytes), subview(one.view, to + goal, bytes)];
      encoder.copyBufferToBuffer(a.buffer, a.offset, b.buffer, b.offset, bytes);
    };
    const last = tokens - 1;
    copy(predictedAt(last, topK), 0, predictedAt(1, topK));
    if (logits) copy(logitsAt(tokens, topK, behind) + 4 * last * logits, logitsAt(1, topK, predicted), 4 * logits);
  });
}
