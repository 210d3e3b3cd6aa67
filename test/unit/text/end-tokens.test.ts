import { describe, expect, it } from 'vitest';
import { InvalidCheckpoint } from '../../../src/errors.ts';
import { endTokens } from '../../../src/text/end-tokens.ts';

const tokenizer = { tokenToId: (token: string) => (token === '</s>' ? 2 : undefined) };

describe('end tokens', () => {
  it('takes all of generation_config.json before config.json before the tokenizer', () => {
    const all = { generation: [5, 7, 5], config: [3], tokenizerEnd: '</s>', vocab: 10 };
    expect(endTokens(all, tokenizer)).toEqual([5, 7]);
    expect(endTokens({ ...all, generation: [] }, tokenizer)).toEqual([3]);
    expect(endTokens({ tokenizerEnd: '</s>', vocab: 10 }, tokenizer)).toEqual([2]);
    expect(endTokens({ tokenizerEnd: '<none>', vocab: 10 }, tokenizer)).toEqual([]);
    expect(endTokens({ tokenizerEnd: '</s>', vocab: 10 }, null)).toEqual([]);
  });

  it('refuses ids that no model with this vocabulary can give', () => {
    for (const id of [-1, 10, 1.5, NaN]) {
      expect(() => endTokens({ config: [id], vocab: 10 }, tokenizer)).toThrow(InvalidCheckpoint);
    }
  });
});
