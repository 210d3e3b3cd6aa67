import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cleanedStream, cleanUpSpaces } from '../../../src/text/cleanup.ts';
import { createDetokenizer } from '../../../src/text/detokenizer.ts';
import { loadTokenizer, type Tokenizer } from '../../../src/text/tokenizer.ts';
import { tries } from '../../support/everyday.ts';
import { byteLevelJson, sentencePieceJson, shipped, unigramJson } from './support/fixtures.ts';

const withDecoder = (decoder: unknown): string => JSON.stringify({ ...sentencePieceJson(), decoder });
const CLEAN = '{"clean_up_tokenization_spaces": true}';
const replace = { type: 'Replace', pattern: { String: '▁' }, content: ' ' };
const tokenizers: Record<string, Tokenizer> = {
  shipped: loadTokenizer(shipped.tokenizerJson, shipped.tokenizerConfig),
  'shipped, blanks cleaned': loadTokenizer(shipped.tokenizerJson, CLEAN),
  'byte level': loadTokenizer(JSON.stringify(byteLevelJson()), null),
  sentencepiece: loadTokenizer(JSON.stringify(sentencePieceJson()), null),
  'sentencepiece, blanks cleaned': loadTokenizer(JSON.stringify(sentencePieceJson()), CLEAN),
  'sentencepiece, no blank': loadTokenizer(JSON.stringify(sentencePieceJson('never')), null),
  Unigram: loadTokenizer(JSON.stringify(unigramJson()), null),
  'no decoder': loadTokenizer(withDecoder(null), null),
  'strip at both ends': loadTokenizer(
    withDecoder({
      type: 'Sequence',
      decoders: [replace, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 2, stop: 2 }],
    }),
    null,
  ),
  'strip each token': loadTokenizer(withDecoder({ type: 'Strip', content: '▁', start: 1, stop: 1 }), null),
  'replace over the whole': loadTokenizer(
    withDecoder({
      type: 'Sequence',
      decoders: [{ type: 'Fuse' }, { type: 'Replace', pattern: { Regex: 'l+' }, content: 'L' }],
    }),
    null,
  ),
};

function streamed(tokenizer: Tokenizer, ids: readonly number[], skipSpecial: boolean): string[] {
  const detokenizer = createDetokenizer(tokenizer, [], { skipSpecial });
  return [...ids.map((id) => detokenizer.push(id)), detokenizer.flush()];
}

/** Any ids, and ids of text with long characters. */
const idsOf = (tokenizer: Tokenizer) =>
  fc
    .array(
      fc.oneof(
        fc.nat(tokenizer.vocabSize + 3).map((id) => [id]),
        fc.nat(Math.min(300, tokenizer.vocabSize)).map((id) => [id]),
        fc
          .constantFrom('hello', ' world', '😀', 'é', 'e\u0301', '👩‍👩‍👧', '日本', " n't .", " ' s", '\ufeff', '  ')
          .map((text) => tokenizer.encode(text)),
      ),
      { maxLength: 20 },
    )
    .map((parts) => parts.flat());

describe.each(Object.entries(tokenizers))('%s', (_, tokenizer) => {
  it('gives in pieces what decode gives at once', () => {
    fc.assert(
      fc.property(idsOf(tokenizer), fc.boolean(), (ids, skipSpecial) => {
        expect(streamed(tokenizer, ids, skipSpecial).join('')).toBe(tokenizer.decode(ids, { skipSpecial }));
      }),
      { numRuns: 500 },
    );
  });

  it('is the same after any context as in the middle of a text', () => {
    fc.assert(
      fc.property(idsOf(tokenizer), idsOf(tokenizer), (context, ids) => {
        const whole = createDetokenizer(tokenizer);
        const before = context.map((id) => whole.push(id)).join('');
        const detokenizer = createDetokenizer(tokenizer, context);
        const after = ids.map((id) => detokenizer.push(id)).join('') + detokenizer.flush();
        expect(before + after).toBe(tokenizer.decode([...context, ...ids], { skipSpecial: true }));
      }),
      { numRuns: 200 },
    );
  });
});

describe('detokenizer', () => {
  const text = 'café 👩‍👩‍👧 日本語 e\u0301 ✓';

  it.each(['shipped', 'byte level', 'sentencepiece'])('never shows half a character: %s', (name) => {
    const tokenizer = tokenizers[name]!;
    const pieces = streamed(tokenizer, tokenizer.encode(text), true);
    expect(pieces.join('').normalize()).toBe(text.normalize());
    for (const piece of pieces) {
      expect(piece).not.toContain('\ufffd');
      expect(piece).not.toMatch(/\p{Surrogate}/u);
    }
  });

  it('shows a character with its last byte', () => {
    const tokenizer = tokenizers.sentencepiece!;
    const ids = ['<0xF0>', '<0x9F>', '<0x98>', '<0x80>'].map((t) => tokenizer.tokenToId(t)!);
    expect(streamed(tokenizer, ids, true)).toEqual(['', '', '', '😀', '']);
    expect(streamed(tokenizer, ids.slice(0, 3), true)).toEqual(['', '', '', '\ufffd']);
    expect(streamed(tokenizer, [...ids.slice(0, 2), tokenizer.tokenToId('a')!], true).join('')).toBe('\ufffda');
  });

  it('drops the blank of the first word only at the start of a text', () => {
    const tokenizer = tokenizers.sentencepiece!;
    const ids = tokenizer.encode('hello world');
    expect(streamed(tokenizer, ids, true).join('')).toBe('hello world');
    const after = createDetokenizer(tokenizer, tokenizer.encode('hello'));
    expect(ids.map((id) => after.push(id)).join('')).toBe(' hello world');
  });

  it('holds a blank back while it may have to go', () => {
    expect(cleanUpSpaces("I do n't , it 's ' x .")).toBe("I don't, it's'x.");
    const tokenizer = tokenizers['shipped, blanks cleaned']!;
    const detokenizer = createDetokenizer(tokenizer);
    const shown = [' a', ' ', '.', ' don', ' n', "'t", ' b']
      .flatMap((t) => tokenizer.encode(t))
      .map((id) => detokenizer.push(id));
    expect(shown.join('') + detokenizer.flush()).toBe(" a. donn't b");
  });

  it('cleans a stream as it cleans the whole, wherever it is cut', () => {
    const piece = fc.string({ unit: fc.constantFrom(...Array.from(" 'nvtremsx.,?!")), maxLength: 4 });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const stream = cleanedStream({ push: (text) => text, end: () => '' });
        expect(pieces.map((text) => stream.push(text)).join('') + stream.end()).toBe(cleanUpSpaces(pieces.join('')));
      }),
      { numRuns: tries(5000) },
    );
    for (const rule of [" 're", " 've", " n't", " 'm", " 's", " ' "]) {
      const stream = cleanedStream({ push: (text) => text, end: () => '' });
      const letters = Array.from(`x${rule}x`);
      expect(letters.map((text) => stream.push(text)).join('') + stream.end()).toBe(cleanUpSpaces(letters.join('')));
    }
  });

  it('costs the same for the last id as for the first', () => {
    const tokenizer = tokenizers.shipped!;
    const ids = tokenizer.encode('the quick brown fox '.repeat(200));
    const detokenizer = createDetokenizer(tokenizer);
    const time = (times: number): number => {
      const start = performance.now();
      for (let i = 0; i < times; i++) for (const id of ids) detokenizer.push(id);
      return performance.now() - start;
    };
    time(5);
    const first = time(20);
    time(100);
    expect(time(20)).toBeLessThan(5 * first + 50);
  });
});
