/** What a decoder asks of a session that always draws the same text. */
import { expect, it } from 'vitest';
import type { Answer } from '../../../src/engine/answer.ts';
import { Decoder } from '../../../src/engine/decoder.ts';
import type { Session } from '../../../src/engine/session.ts';
import type { DrawnToken } from '../../../src/engine/session/draw.ts';
import { SpeculationGovernor } from '../../../src/engine/speculation/governor.ts';

const TEXT = [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2, 3, 9, 8, 7];
const PROMPT = TEXT.slice(0, 4);

/** Runs a decoder to the end of the text. @returns what it asked: `step n`, with n ahead, or the guesses of a step */
async function run(ahead: number, canGuess = true): Promise<{ ids: number[]; asked: string[] }> {
  const drawn = (id: number): DrawnToken => ({ id, logprob: 0, topLogprobs: [], routing: [] });
  const asked: string[] = [];
  let fed = PROMPT.length - 1;
  let inFlight = 0;
  const session = {
    get inFlight() {
      return inFlight;
    },
    mostGuesses: 7,
    mayGuess: () => canGuess,
    step: (last: number, _sampling: unknown, _signal: unknown, n: number) => {
      expect(last).toBe(TEXT[++fed]);
      asked.push(`step ${n}`);
      inFlight = n > 0 ? n : Math.max(0, inFlight - 1);
      return Promise.resolve(drawn(TEXT[fed + 1]!));
    },
    guess: (last: number, guesses: readonly number[]) => {
      expect(inFlight).toBe(0);
      expect(last).toBe(TEXT[fed + 1]);
      asked.push(guesses.join(' '));
      const wrong = guesses.findIndex((id, i) => id !== TEXT[fed + 2 + i]);
      const kept = (wrong < 0 ? guesses.length : wrong) + 1;
      const first = fed + 2;
      fed += kept;
      return Promise.resolve(TEXT.slice(first, first + kept).map(drawn));
    },
  };
  const ids = [TEXT[4]!];
  const answer = {
    prompt: PROMPT,
    get generated() {
      return ids.length;
    },
    get remaining() {
      return TEXT.length - PROMPT.length - ids.length;
    },
    draw: () => ({}),
  };
  const decoder = new Decoder(answer as unknown as Answer, {
    speculation: { most: 4, ngram: 3, isGoverned: false },
    governor: new SpeculationGovernor(),
    ahead,
  });
  while (answer.remaining > 0) {
    const { id } = await decoder.next(session as unknown as Session, ids.at(-1)!, new AbortController().signal);
    ids.push(id);
  }
  return { ids, asked };
}

it('guesses what followed before, hears every token that was kept, and guesses no further than the answer goes', async () => {
  const { ids, asked } = await run(0);
  expect(ids).toEqual(TEXT.slice(4));
  // Known from 1 2 on; at the end nothing like 3 9 was there before.
  expect(asked).toEqual(['step 0', 'step 0', '3 4 5 1', '3 4 5', 'step 0', 'step 0']);
});

it('lets the steps that ran ahead come first', async () => {
  const { ids, asked } = await run(2);
  expect(ids).toEqual(TEXT.slice(4));
  expect(asked.slice(0, 5)).toEqual(['step 2', 'step 2', 'step 0', 'step 0', '5 1 2 3']);
});

it('runs ahead where it may not guess', async () => {
  const { ids, asked } = await run(2, false);
  expect(ids).toEqual(TEXT.slice(4));
  expect(asked.slice(0, 9)).toEqual(Array(9).fill('step 2'));
  expect(asked.slice(9)).toEqual(['step 1', 'step 0']);
});
