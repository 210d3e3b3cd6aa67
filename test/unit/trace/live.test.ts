/** A live trace, fed as a model feeds it. */
import { describe, expect, it } from 'vitest';
import { checkTrace } from '../../../src/trace/check-trace.ts';
import { LiveTrace, type LiveStep, type LiveToken } from '../../../src/trace/live.ts';
import { readTrace, writeTrace } from '../../../src/trace/npz.ts';
import type { PromptChunk } from '../../../src/trace/run-routing.ts';
import { ABSENT, ORIGINS, type TraceModel } from '../../../src/trace/trace.ts';
import { InvalidRequest } from '../../../src/errors.ts';

const [LAYERS, EXPERTS, TOP_K] = [2, 4, 2];
const MODEL: TraceModel = { name: 'tiny', layers: LAYERS, experts: EXPERTS, topK: TOP_K, expertBytes: [10, 20] };
const chat = (name: string): { name: string; domain: null } => ({ name, domain: null });

/** The experts of token `n` in every layer: n and n + 1. */
const idsAt = (n: number): number[] => Array.from({ length: LAYERS }, () => [n % EXPERTS, (n + 1) % EXPERTS]).flat();

function chunk(position: number, tokens: number): PromptChunk {
  const ids = Array.from({ length: tokens }, (_, t) => idsAt(position + t)).flat();
  return {
    position,
    texts: Array.from({ length: tokens }, (_, t) => `p${position + t}`),
    token_ids: Int32Array.from({ length: tokens }, (_, t) => 100 + position + t),
    shape: [tokens, LAYERS, TOP_K],
    routed_experts: Uint8Array.from(ids),
    router_weights: new Float32Array(ids.length).fill(0.5),
    router_logits: null,
  };
}

/** The token that the step at position `ran` draws. */
const token = (ran: number, logits = false): LiveToken => ({
  id: 101 + ran,
  text: `t${ran + 1}`,
  logprob: -ran / 8,
  routing: Array.from({ length: LAYERS }, () => ({
    ids: Uint32Array.from(idsAt(ran).slice(0, TOP_K)),
    weights: Float32Array.of(0.75, 0.25),
    ...(logits && { logits: new Float32Array(EXPERTS).fill(ran) }),
  })),
});

const step = (position: number, tokens = 1): LiveStep => ({
  phase: tokens > 1 ? 'prefill' : 'decode',
  position,
  tokens,
  ms: 10 + position,
  stallMs: 1,
  bytes: { disk: 100, network: 0 },
  layers: Array.from({ length: LAYERS }, () => ({
    ids: Uint32Array.from(idsAt(position).slice(0, TOP_K)),
    weights: Float32Array.of(0.75, 0.25),
    origins: ['slot', 'disk'] as const,
  })),
});

/** A prompt of 3 tokens, then steps at 3 and on. */
function feed(live: LiveTrace, name: string, answer: number, isEarly = true): void {
  live.begin(chat(name));
  live.prompt(chunk(0, 3));
  live.step(step(0, 3));
  live.token(token(2));
  for (let position = 3; position < 2 + answer; position++) {
    if (isEarly) live.step(step(position));
    live.token(token(position));
    if (!isEarly) live.step(step(position));
  }
}

describe('a live trace', () => {
  it('has the prompt, then a row for each token but the last', () => {
    const live = new LiveTrace(MODEL, { provenance: { kind: 'live', note: 'a test' }, scoring: 'softmax' });
    feed(live, 'one', 4);
    const trace = checkTrace(live.snapshot());
    expect(trace.steps.map((s) => [s.phase, s.position, s.tokens])).toEqual([
      ['prefill', 0, 3],
      ['decode', 3, 1],
      ['decode', 4, 1],
      ['decode', 5, 1],
    ]);
    expect([...trace.ids]).toEqual([0, 1, 2, 3, 4, 5].flatMap(idsAt));
    expect([...trace.tokens!]).toEqual([100, 101, 102, 103, 104, 105]);
    expect(trace.texts).toEqual(['p0', 'p1', 'p2', 't3', 't4', 't5']);
    expect([...trace.logprobs!]).toEqual([NaN, NaN, -2 / 8, -3 / 8, -4 / 8, -5 / 8]);
    expect([...trace.timing!.ms]).toEqual([10, 13, 14, 15]);
    expect([...trace.timing!.diskBytes]).toEqual([100, 100, 100, 100]);
    const [slot, disk] = [ORIGINS.indexOf('slot'), ORIGINS.indexOf('disk')];
    expect([...trace.origins!.subarray(0, 12)]).toEqual(Array<number>(12).fill(0));
    expect([...trace.origins!.subarray(12, 16)]).toEqual([slot, disk, slot, disk]);
    expect(trace).toMatchObject({ scoring: 'softmax', chats: [chat('one')], provenance: { kind: 'live' } });
    expect(readTrace(writeTrace(trace, { weights: 'f32' }))).toEqual(trace);
  });

  it('takes times before or after their row', () => {
    const [early, late] = [new LiveTrace(MODEL), new LiveTrace(MODEL)];
    feed(early, 'x', 5);
    feed(late, 'x', 5, false);
    expect(late.snapshot()).toEqual(early.snapshot());
  });

  it('takes times that come several rows late', () => {
    const [early, late] = [new LiveTrace(MODEL), new LiveTrace(MODEL)];
    feed(early, 'x', 5);
    late.begin(chat('x'));
    late.prompt(chunk(0, 3));
    for (let position = 2; position < 7; position++) late.token(token(position));
    late.step(step(4));
    late.step(step(99));
    const [a, b] = [early.snapshot(), late.snapshot()];
    expect(b.timing!.ms[2]).toBe(a.timing!.ms[2]);
    expect(b.origins!.subarray(16, 20)).toEqual(a.origins!.subarray(16, 20));
    expect(b.origins!.subarray(0, 16).every((o) => o === 0)).toBe(true);
  });

  it('a snapshot shares its numbers, and stays as it is', () => {
    const live = new LiveTrace(MODEL);
    feed(live, 'one', 3);
    const before = live.snapshot();
    expect(live.snapshot()).toBe(before);
    const copy = structuredClone(before);
    feed(live, 'two', 50);
    expect(before).toEqual(copy);
    const [a, b] = [live.snapshot(), (live.begin(chat('three')), live.snapshot())];
    expect(b.ids.buffer).toBe(a.ids.buffer);
  });

  it('without the prompt’s routing begins behind it', () => {
    const live = new LiveTrace(MODEL);
    live.begin(chat('one'), 7);
    for (const position of [6, 7, 8]) live.token(token(position));
    expect(live.snapshot().steps.map((s) => [s.phase, s.position])).toEqual([
      ['decode', 7],
      ['decode', 8],
    ]);
    expect(live.snapshot()).not.toHaveProperty('timing');
    expect(live.snapshot().origins).toBeNull();
  });

  it('a next turn goes on in the same chat', () => {
    const live = new LiveTrace(MODEL);
    feed(live, 'one', 3);
    live.prompt(chunk(5, 4));
    live.token(token(8));
    live.token(token(9));
    const { steps } = checkTrace(live.snapshot());
    expect(steps.map((s) => [s.chat, s.position])).toEqual([
      [0, 0],
      [0, 3],
      [0, 4],
      [0, 5],
      [0, 9],
    ]);
  });

  it('logits may begin later, and are absent before', () => {
    const live = new LiveTrace(MODEL);
    feed(live, 'one', 2);
    expect(live.snapshot()).not.toHaveProperty('logits');
    live.token(token(4, true));
    const { logits } = checkTrace(live.snapshot());
    expect([...logits!.subarray(0, 4 * LAYERS * EXPERTS)].every(Number.isNaN)).toBe(true);
    expect([...logits!.subarray(4 * LAYERS * EXPERTS)]).toEqual(Array<number>(8).fill(4));
  });

  it('places that repeat an expert with weight 0 took none', () => {
    const live = new LiveTrace(MODEL);
    live.begin(chat('one'), 1);
    live.token(token(0));
    const fewer = { ids: Uint32Array.of(3, 3), weights: Float32Array.of(1, 0) };
    live.step({ ...step(1), layers: [0, 1].map(() => ({ ...fewer, origins: ['memory', 'memory'] as const })) });
    live.token({ ...token(1), routing: [fewer, fewer] });
    expect([...live.snapshot().ids]).toEqual([3, ABSENT, 3, ABSENT]);
    expect([...live.snapshot().origins!]).toEqual([3, 0, 3, 0]);
  });

  it('keeps to its bound: oldest chats leave, then the older half of one that is too long', () => {
    const live = new LiveTrace(MODEL, { mostTokens: 20 });
    for (const name of ['a', 'b', 'c', 'd']) feed(live, name, 4); // 6 tokens each
    const kept = checkTrace(live.snapshot());
    expect(kept.chats!.map((c) => c.name)).toEqual(['b', 'c', 'd']);
    expect([...new Set(kept.steps.map((s) => s.chat))]).toEqual([0, 1, 2]);
    expect(live.left).toEqual({ chats: 1, tokens: 6 });
    feed(live, 'long', 100);
    const { steps, chats, tokens } = checkTrace(live.snapshot());
    expect(chats).toEqual([chat('long')]);
    expect(steps.at(-1)!.position).toBe(101);
    expect(tokens!.length).toBe(14); // 10 are left of 21, eight times, the last at token 98 of 102
    expect(live.left).toEqual({ chats: 4, tokens: 24 + 102 - 14 });
  });

  it('refuses tokens of no chat', () => {
    expect(() => new LiveTrace(MODEL).token(token(0))).toThrow(InvalidRequest);
  });
});
