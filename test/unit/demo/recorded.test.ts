import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { recordedAnswers, type PlayOptions } from '../../../demo/recorded/answers.ts';
import { originOf, tokensOf, type RecordedToken, type Recording } from '../../../demo/recorded/recording.ts';
import { SESSIONS } from '../../../demo/recorded/sessions.ts';
import type { Turn } from '../../../demo/engine.ts';

const base64 = (bytes: readonly number[]): string => btoa(String.fromCharCode(...bytes));

/** Two layers of four experts, two chosen. */
const RECORDING: Recording = {
  format: 'webmoe-recording',
  version: 1,
  id: 'test',
  recordedAt: '2026-11-26T23:30:00.000Z',
  model: { name: 'tiny', revision: 'sha256:00', weights: 'bf16', precision: 'as-is' },
  adapter: 'test',
  seed: 7,
  sampling: {
    temperature: 1,
    topK: 0,
    topP: 1,
    minP: 0,
    repetitionPenalty: 1,
    presencePenalty: 0,
    frequencyPenalty: 0,
  },
  shape: { layers: 2, experts: 4, topK: 2 },
  turns: [
    {
      question: 'One?',
      text: 'Ab c',
      end: {
        finishReason: 'stop',
        promptTokens: 5,
        cachedTokens: 0,
        generatedTokens: 3,
        timeToFirstTokenMs: 500,
        tokensPerSecond: 2,
      },
      ms: [500, 510, 2000],
      tokenIds: [10, 11, 12],
      tokens: ['A', 'b', ' c'],
      ids: base64([0, 1, 2, 3, 1, 0, 3, 2, 2, 0, 1, 3]),
      weights: base64([255, 51, 0, 102, 255, 0, 0, 0, 255, 255, 51, 153]),
      weightScale: 0.5,
    },
  ],
};
const QUESTION: Turn = { role: 'user', content: 'One?' };

interface Played {
  readonly tokens: readonly RecordedToken[];
  readonly waits: readonly number[];
  readonly end: unknown;
}

/** @param act called before each token with its number */
async function play(
  prompt: readonly Turn[] = [QUESTION],
  options: Partial<PlayOptions> & {
    continueFinal?: boolean;
    act?: (t: number, a: { skip(): void; stop(): void }) => void;
  } = {},
): Promise<Played> {
  const waits: number[] = [];
  const abort = new AbortController();
  const answers = recordedAnswers(RECORDING, {
    isInstant: options.isInstant ?? false,
    wait: async (ms) => {
      options.act?.(waits.length, { skip: answers.skip, stop: () => abort.abort() });
      waits.push(ms);
    },
  });
  const stream = answers.generate(prompt, {
    signal: abort.signal,
    ...(options.continueFinal && { continueFinal: true }),
  });
  const tokens: RecordedToken[] = [];
  for (;;) {
    const { value, done } = await stream.next();
    if (done) return { tokens, waits, end: value };
    tokens.push(value);
  }
}

const text = ({ tokens }: Played): string => tokens.map((token) => token.text).join('');

describe('a recorded answer', () => {
  it('has the routing of each token as a model that runs gives it', () => {
    const [first, second] = tokensOf(RECORDING.turns[0]!, RECORDING.shape);
    expect(first).toMatchObject({ id: 10, text: 'A' });
    expect(first!.routing.map(({ ids }) => [...ids])).toEqual([
      [0, 1],
      [2, 3],
    ]);
    expect(second!.routing.map(({ ids }) => [...ids])).toEqual([
      [1, 0],
      [3, 2],
    ]);
    expect([...first!.routing[0]!.weights].map((w) => w.toFixed(2))).toEqual(['0.50', '0.10']);
    expect([...first!.routing[1]!.weights].map((w) => w.toFixed(2))).toEqual(['0.00', '0.20']);
  });

  it('comes at its pace, but no slower than anybody reads', async () => {
    const played = await play();
    expect(text(played)).toBe('Ab c');
    expect(played.waits).toEqual([80, 10, 80]);
    expect(played.end).toMatchObject({ finishReason: 'stop', generatedTokens: 3, seed: 7 });
  });

  it('comes at once for people who want no motion', async () => {
    const played = await play([QUESTION], { isInstant: true });
    expect([text(played), played.waits]).toEqual(['Ab c', []]);
  });

  it('can be skipped to its end', async () => {
    const played = await play([QUESTION], { act: (t, { skip }) => t === 1 && skip() });
    expect([text(played), played.waits.length]).toEqual(['Ab c', 2]);
  });

  it('can be stopped, and gone on with', async () => {
    const stopped = await play([QUESTION], { act: (t, { stop }) => t === 1 && stop() });
    expect([text(stopped), stopped.end]).toEqual(['A', { finishReason: 'abort', counts: null }]);
    const rest = await play([QUESTION, { role: 'assistant', content: 'A' }], { continueFinal: true });
    expect([text(rest), rest.waits]).toEqual(['b c', [10, 80]]);
  });

  it('says when and from what, whatever the time zone', () =>
    expect(originOf(RECORDING)).toBe('Recorded on 26 November 2026 from tiny'));
});

describe('the sessions that come with the page', () => {
  const asked = JSON.parse(readFileSync('demo/recorded/sessions.json', 'utf8')) as {
    id: string;
    questions: string[];
  }[];

  it.each(SESSIONS.map((session) => [session.id, session] as const))('%s', async (id, session) => {
    const recording = await session.load();
    expect(recording).toMatchObject({ format: 'webmoe-recording', version: 1, id });
    expect(recording.turns.map(({ question }) => question)).toEqual(asked.find((a) => a.id === id)!.questions);
    const { layers, experts, topK } = recording.shape;
    for (const turn of recording.turns) {
      const count = turn.tokens.length;
      expect([turn.ms.length, turn.tokenIds.length, turn.end.generatedTokens]).toEqual([count, count, count]);
      expect(turn.tokens.join('')).toBe(turn.text);
      expect(atob(turn.ids).length).toBe(count * layers * topK);
      expect(atob(turn.weights).length).toBe(count * layers * topK);
      for (const { ids } of tokensOf(turn, recording.shape).flatMap(({ routing }) => routing)) {
        expect(new Set(ids).size).toBe(topK);
        expect(Math.max(...ids)).toBeLessThan(experts);
      }
    }
  });
});
