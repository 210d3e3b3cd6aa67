import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createTokenMask, prepareVocabulary, type Constraint } from '../../../../src/text/grammar/index.ts';
import { prng } from '../../../../src/util/prng.ts';
import { InvariantError } from '../../../../src/util/assert.ts';
import { schemas } from './support/schemas.ts';
import { allBytes, shippedEnd, shippedTokenizer, smallVocabulary, type Small } from './support/vocabularies.ts';
import { thinned, tries } from '../../../support/everyday.ts';
import { allowedIds, walk } from './support/walk.ts';

const encoder = new TextEncoder();
const latin = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

/** Every byte, and tokens that cross what a schema cares about: quotes, commas, escapes, parts of characters, blanks. */
const pieces = [
  ...[
    ...'{}[]",: \\',
    '{"',
    '":',
    '": ',
    '","',
    '", "',
    '"}',
    '"}]',
    '"]',
    '[]',
    '{}',
    '},',
    '],',
    ', ',
    '\\"',
    '\\\\',
    '\\u',
    '\\ud8',
    '\\n"',
  ],
  ...[
    'true',
    'false',
    'null',
    'tr',
    'nul',
    'abc',
    'name',
    'id',
    'kind',
    '"id"',
    '"name":',
    'value',
    'left',
    ' the',
    'a"b',
    'é',
    '日本',
    '😀',
    'é"',
    '\n',
    '\t',
    '  ',
  ],
  ...['0', '1', '12', '-1', '0.', '.5', '1e', 'e9', '123456', '1,', '1]', '1}', '00', '2024-', '-0'],
];
const fragments = [
  [0xe6, 0x97],
  [0xa5, 0xe6],
  [0x9f, 0x98],
  [0xf0, 0x9f],
  [0x80, 0x22],
  [0xc3],
  [0xa9, 0x22, 0x2c],
].map((b) => Uint8Array.from(b));
const rich = smallVocabulary([...allBytes, ...pieces, ...fragments]);
const bytewise = smallVocabulary(allBytes);

/** What may come, token by token and byte by byte, by a vocabulary that has only bytes: no tree, no runs, no cached mask is shared with it. */
function bruteForce(constraint: Constraint, written: readonly number[], { tokens, end }: Small): number[] {
  const replay = (bytes: Iterable<number>): { ok: boolean; mayEnd: boolean } => {
    const mask = createTokenMask(constraint, bytewise.vocabulary);
    for (const byte of bytes) {
      if (!((mask.bits[byte >>> 5]! >>> (byte & 31)) & 1)) return { ok: false, mayEnd: false };
      mask.accept(byte);
    }
    return { ok: true, mayEnd: mask.mayEnd };
  };
  const isAllowed = (bytes: Uint8Array | null, id: number): boolean =>
    id === end ? replay(written).mayEnd : bytes !== null && replay([...written, ...bytes]).ok;
  return tokens.flatMap((bytes, id) => (isAllowed(bytes, id) ? [id] : []));
}

describe('a mask is what brute force over the vocabulary finds', () => {
  it.each(thinned(Object.entries(schemas), 5))('%s', (name, schema) => {
    const random = prng(name.length);
    const mask = createTokenMask({ schema }, rich.vocabulary);
    const written: number[] = [];
    for (let step = 0; step < 8 && !mask.isDone; step++) {
      const allowed = allowedIds(mask);
      expect(allowed).toEqual(bruteForce({ schema }, written, rich));
      const texts = allowed.filter((id) => id !== rich.end);
      const id = texts[Math.floor(random() * texts.length)]!;
      mask.accept(id);
      written.push(...rich.tokens[id]!);
    }
  });
});

it('plain characters that only an alternative to the text takes are not left out', () => {
  const small = smallVocabulary([...allBytes, 'aaaaaa', 'abcdef', 'abcdxy', 'abcd']);
  const schema = schemas['union that is ambiguous']!;
  const mask = createTokenMask({ schema }, small.vocabulary);
  mask.accept(0x22);
  expect(allowedIds(mask).filter((id) => id >= 256)).toEqual([256, 257, 259]);
  expect(allowedIds(mask)).toEqual(bruteForce({ schema }, [0x22], small));
});

describe('a mask is what the words of a finite language allow', () => {
  const word = fc
    .array(fc.constantFrom('a', 'b', 'é', '😀', '"', '<x>'), { maxLength: 4 })
    .map((parts) => parts.join(''));
  const token = fc.oneof(
    word.map((text) => encoder.encode(text)),
    fc
      .tuple(fc.constantFrom('aé😀', '😀b', 'éé'), fc.nat(4), fc.nat(5))
      .map(([text, a, b]) => encoder.encode(text).subarray(a, a + b)),
  );

  it('with and without a budget', () => {
    fc.assert(
      fc.property(
        fc.array(word, { minLength: 1, maxLength: 5 }),
        fc.array(word, { minLength: 1, maxLength: 3 }),
        fc.array(token, { maxLength: 12 }),
        fc.nat(6),
        fc.integer(),
        (heads, tails, tokens, slack, seed) => {
          const small = smallVocabulary([...allBytes, ...tokens]);
          const constraint: Constraint = { sequence: [{ anyOf: heads }, { anyOf: tails }] };
          const words = heads.flatMap((head) => tails.map((tail) => latin(encoder.encode(head + tail))));
          const { closingCost } = createTokenMask(constraint, small.vocabulary);
          for (const maxTokens of [undefined, closingCost + slack]) {
            const random = prng(seed);
            const mask = createTokenMask(constraint, small.vocabulary, { maxTokens: maxTokens ?? Infinity });
            let written = '';
            let left = maxTokens ?? Infinity;
            while (!mask.isDone) {
              const allowed = allowedIds(mask);
              const expected = small.tokens.flatMap((bytes, id) => {
                const ok = bytes?.length
                  ? words.some((w) => w.startsWith(written + latin(bytes)))
                  : id === small.end && words.includes(written);
                return ok ? [id] : [];
              });
              if (maxTokens === undefined) expect(allowed).toEqual(expected);
              else expect(expected).toEqual(expect.arrayContaining(allowed));
              expect(mask.mayEnd).toBe(words.includes(written));
              expect(allowed.length).toBeGreaterThan(0);
              expect(mask.closingCost).toBeLessThanOrEqual(left);
              const id = allowed[Math.floor(random() * allowed.length)]!;
              const before = mask.closingCost;
              mask.accept(id);
              left--;
              if (id !== small.end) written += latin(small.tokens[id]!);
              else expect(before).toBe(0);
            }
            expect(words).toContain(written);
          }
        },
      ),
      { numRuns: tries(300) },
    );
  });
});

describe('some token always leads closer to the end', () => {
  it.each(thinned(Object.entries(schemas), 5))('%s', (name, schema) => {
    const random = prng(name.length + 1);
    const mask = createTokenMask({ schema }, rich.vocabulary);
    const ids: number[] = [];
    const costAfter = (id: number): number => {
      const other = createTokenMask({ schema }, rich.vocabulary);
      for (const before of [...ids, id]) other.accept(before);
      return other.closingCost;
    };
    for (let step = 0; step < 12 && !mask.isDone; step++) {
      const texts = allowedIds(mask).filter((id) => id !== rich.end);
      if (mask.closingCost > 0) expect(texts.some((id) => costAfter(id) < mask.closingCost)).toBe(true);
      expect(mask.closingCost === 0).toBe(mask.mayEnd);
      const id = texts[Math.floor(random() * texts.length)]!;
      mask.accept(id);
      ids.push(id);
    }
  });
});

describe('added tokens', () => {
  const small = smallVocabulary([...allBytes, '<tool', '_call>'], ['<tool_call>', '</tool_call>', '<tool_call>x']);
  const [open, close, longer] = [258, 259, 260];

  it('are themselves in literal text and nowhere else', () => {
    const constraint: Constraint = { sequence: ['<tool_call>\n', { schema: { type: 'string' } }, '</tool_call>'] };
    const mask = createTokenMask(constraint, small.vocabulary);
    expect(allowedIds(mask)).toEqual([open]);
    mask.accept(open);
    expect(allowedIds(mask)).toEqual([0x0a]);
    mask.accept(0x0a);
    mask.accept(0x22);
    for (const id of [open, close, longer, small.end]) expect(allowedIds(mask)).not.toContain(id);
    mask.accept(256);
    mask.accept(257);
    mask.accept(0x22);
    expect(mask.closingCost).toBe(1);
    expect(allowedIds(mask)).toEqual([close]);
    mask.accept(close);
    expect([mask.isDone, mask.mayEnd, allowedIds(mask)]).toEqual([true, true, [small.end]]);
  });

  it('the longest counts, and they fit a budget', () => {
    expect(allowedIds(createTokenMask('<tool_call>x', small.vocabulary))).toEqual([longer]);
    const either: Constraint = { anyOf: ['<tool_call>ab', '</tool_call>'] };
    expect(allowedIds(createTokenMask(either, small.vocabulary))).toEqual([open, close]);
    expect(allowedIds(createTokenMask(either, small.vocabulary, { maxTokens: 1 }))).toEqual([close]);
  });
});

describe('a mask', () => {
  it('is shared between requests with the same constraint, each in its own state', () => {
    const constraint: Constraint = { json: 'object' };
    const [a, b] = [createTokenMask(constraint, rich.vocabulary), createTokenMask({ json: 'object' }, rich.vocabulary)];
    expect(a.bits).toBe(b.bits);
    a.accept(0x7b);
    expect(a.bits).not.toBe(b.bits);
    expect(allowedIds(b)).toContain(0x7b);
  });

  it('does not take what it does not allow, and nothing after the end token', () => {
    const mask = createTokenMask('1', rich.vocabulary);
    expect(() => mask.accept(0x32)).toThrow(InvariantError);
    mask.accept(0x31);
    mask.accept(rich.end);
    expect([mask.isDone, mask.mayEnd, mask.closingCost, allowedIds(mask)]).toEqual([true, true, 0, []]);
    expect(() => mask.accept(rich.end)).toThrow(InvariantError);
  });

  it('has room for ids beyond the tokenizer, which it never allows', () => {
    const vocabulary = prepareVocabulary(shippedTokenizer, [shippedEnd], shippedTokenizer.vocabSize + 40);
    const { bits } = createTokenMask({ json: 'value' }, vocabulary);
    expect(bits).toHaveLength(Math.ceil((shippedTokenizer.vocabSize + 40) / 32));
    expect(bits.subarray(shippedTokenizer.vocabSize / 32).every((word) => word === 0)).toBe(true);
  });

  it('stays right when the states of a long text are forgotten', () => {
    const schema = { type: 'string', minLength: 200, maxLength: 1500 };
    const mask = createTokenMask({ schema }, rich.vocabulary, { maxTokens: 3000 });
    const text = walk(mask, (id) => (id < 256 ? 1 : 20), prng(5), 3000, rich.end);
    const bytes = Uint8Array.from(text.flatMap((id) => [...rich.tokens[id]!]));
    const value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as string;
    expect(Array.from(value).length).toBeGreaterThanOrEqual(200);
    expect(Array.from(value).length).toBeLessThanOrEqual(1500);
  });
});
