import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UnsupportedModel } from '../../../src/errors.ts';
import { createTokenBytes } from '../../../src/text/token-bytes.ts';
import { loadTokenizer } from '../../../src/text/tokenizer.ts';
import { byteLevelJson, sentencePieceJson, shipped, unigramJson } from './support/fixtures.ts';

const withDecoder = (decoder: unknown): string => JSON.stringify({ ...sentencePieceJson(), decoder });
const replace = { type: 'Replace', pattern: { String: '▁' }, content: ' ' };
const files: Record<string, string> = {
  shipped: shipped.tokenizerJson,
  'byte level': JSON.stringify(byteLevelJson()),
  sentencepiece: JSON.stringify(sentencePieceJson()),
  'sentencepiece, no blank': JSON.stringify(sentencePieceJson('never')),
  Unigram: JSON.stringify(unigramJson()),
  'no decoder': withDecoder(null),
  'strip each token': withDecoder({ type: 'Strip', content: '▁', start: 1, stop: 1 }),
  'strip the whole': withDecoder({
    type: 'Sequence',
    decoders: [replace, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 2, stop: 0 }],
  }),
};

const joined = (parts: readonly Uint8Array[]): string =>
  new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(parts.flatMap((part) => [...part])));

describe.each(Object.entries(files))('%s', (_, json) => {
  const tokenizer = loadTokenizer(json, null);
  const added = new Map(tokenizer.addedTokens.map((token) => [token.id, token]));
  const plain = Array.from({ length: tokenizer.vocabSize }, (_, id) => id).filter((id) => tokenizer.idToBytes(id));
  const first = tokenizer.encode('a').at(-1)!;
  const before = tokenizer.decode([first]);
  const decodedAfter = (ids: readonly number[]): string =>
    tokenizer.decode([first, ...ids], { verbatim: true }).slice(before.length);

  it('the bytes of ids, joined, are the text of the ids', () => {
    const words = fc.constantFrom('hello', ' world', '😀', 'é', 'e\u0301', '日本', '{"a": 1}', '  ', '\n');
    const part = fc.oneof(
      fc.constantFrom(...plain).map((id) => [id]),
      words.map((text) => tokenizer.encode(text).filter((id) => tokenizer.idToBytes(id))),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
        const ids = parts.flat();
        const text = decodedAfter(ids);
        // Decoders differ in how many U+FFFD a broken character becomes.
        fc.pre(!text.includes('\ufffd'));
        expect(joined(ids.map((id) => tokenizer.idToBytes(id)!))).toBe(text);
      }),
      { numRuns: 500 },
    );
  });

  it('every id with bytes of whole characters decodes to them, and no control token has any', () => {
    for (const id of plain) {
      const text = joined([tokenizer.idToBytes(id)!]);
      if (!text.includes('\ufffd')) expect(decodedAfter([id])).toBe(text);
    }
    for (const [id, token] of added) expect(tokenizer.idToBytes(id) === null).toBe(token.content.trim() !== '');
    expect(tokenizer.idToBytes(tokenizer.vocabSize)).toBeNull();
  });
});

it('bytes of half characters come out', () => {
  const bytes = createTokenBytes({ type: 'ByteLevel' });
  expect([...bytes('Ġ')]).toEqual([0x20]);
  expect([...bytes('ð')]).toEqual([0xf0]);
  expect([...createTokenBytes({ type: 'ByteFallback' })('<0xE2>')]).toEqual([0xe2]);
});

it('a decoder that looks at several tokens is refused', () => {
  const whole = { type: 'Sequence', decoders: [{ type: 'Fuse' }, replace] };
  expect(() => createTokenBytes(whole)).toThrow(UnsupportedModel);
  expect(() => createTokenBytes({ type: 'WordPiece' })).toThrow(/cannot be constrained/);
  const tokenizer = loadTokenizer(withDecoder(whole), null);
  expect(() => tokenizer.idToBytes(5)).toThrow(/"Replace"/);
});

it('verbatim text keeps its blanks', () => {
  const cleaning = loadTokenizer(shipped.tokenizerJson, '{"clean_up_tokenization_spaces": true}');
  const ids = cleaning.encode('{"a" : "b ."}');
  expect(cleaning.decode(ids)).toBe('{"a" : "b."}');
  expect(cleaning.decode(ids, { verbatim: true })).toBe('{"a" : "b ."}');
});
