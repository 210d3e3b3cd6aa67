import { Tokenizer as Library } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidCheckpoint, UnsupportedModel } from '../../../src/errors.ts';
import { loadTokenizer } from '../../../src/text/tokenizer.ts';
import { thinned, tries } from '../../support/everyday.ts';
import { byteLevelJson, sentencePieceJson, shipped, unigramJson } from './support/fixtures.ts';

const kinds = {
  'byte-level BPE': byteLevelJson(),
  'sentencepiece BPE, blank by the normalizer': sentencePieceJson('normalizer'),
  'sentencepiece BPE, blank for the first word': sentencePieceJson('first'),
  'sentencepiece BPE, no blank': sentencePieceJson('never'),
  Unigram: unigramJson(),
  shipped: JSON.parse(shipped.tokenizerJson) as ReturnType<typeof byteLevelJson>,
} as const;

/** Words, blanks, marks, whole and broken control tokens, accents, emoji, anything. */
const text = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        'hello',
        ' world',
        'the',
        '  ',
        '     ',
        '\n',
        '.',
        '123',
        ' é',
        'e\u0301',
        '▁',
        '👩‍👩‍👧',
        'ｆ',
        '\u200b',
      ),
      fc.constantFrom(
        '<|start|>',
        '<|end|>',
        '<think>',
        '<|im_start|>',
        '<|im_end|>',
        '<s>',
        '</s>',
        '<unk>',
        '<|',
        '|>',
        '｜fin｜',
      ),
      fc.string({ unit: 'grapheme', maxLength: 8 }),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(''));

describe.each(Object.entries(kinds))('%s', (_, json) => {
  const tokenizer = loadTokenizer(JSON.stringify(json), null);
  const library = new Library(json, { clean_up_tokenization_spaces: false });

  it('encodes as the library does, added tokens included', () => {
    fc.assert(
      fc.property(text, (t) => {
        const expected = library.encode(t, { add_special_tokens: false }).ids;
        expect(tokenizer.encode(t)).toEqual(expected.filter((id) => id !== undefined));
      }),
      { numRuns: tries(400) },
    );
  });

  it('encodes ordinary text equally with and without added tokens', () => {
    const contents = tokenizer.addedTokens.map((t) => t.content);
    fc.assert(
      fc.property(text, (t) => {
        fc.pre(!contents.some((c) => t.includes(c) || t.normalize('NFKC').includes(c)));
        expect(tokenizer.encode(t, { special: false })).toEqual(tokenizer.encode(t));
      }),
      { numRuns: tries(300) },
    );
  });

  it('never makes an added token of literal text', () => {
    const controls = new Set(
      tokenizer.addedTokens.filter((t) => t.content.trim() && t.content !== '<unk>').map((t) => t.id),
    );
    fc.assert(
      fc.property(text, (t) => {
        expect(tokenizer.encode(t, { special: false }).filter((id) => controls.has(id))).toEqual([]);
      }),
      { numRuns: tries(300) },
    );
  });

  it('decodes what the library decodes', () => {
    fc.assert(
      fc.property(text, (t) => {
        const ids = tokenizer.encode(t);
        if (ids.length) expect(tokenizer.decode(ids)).toBe(library.decode(ids));
      }),
      { numRuns: tries(200) },
    );
  });
});

describe('tokenizer', () => {
  it('gives text back', () => {
    const tokenizer = loadTokenizer(shipped.tokenizerJson, shipped.tokenizerConfig);
    for (const t of [
      'Hello, world!',
      '  two  blanks\n\ttab',
      '日本語 e\u0301 👩‍👩‍👧 \ud83d\ude00',
      '\ufeffmark',
      '<|im_end|>',
    ]) {
      expect(tokenizer.decode(tokenizer.encode(t))).toBe(t);
      expect(tokenizer.decode(tokenizer.encode(t, { special: false }))).toBe(t);
    }
    expect(tokenizer.encode('')).toEqual([]);
    expect(tokenizer.decode([])).toBe('');
    expect(tokenizer.decode(tokenizer.encode('<|im_start|>hi<|im_end|>'), { skipSpecial: true })).toBe('hi');
    expect(tokenizer.tokenToId('<|im_end|>')).toBe(2);
    expect(tokenizer.idToToken(2)).toBe('<|im_end|>');
    expect(tokenizer.idToToken(10 ** 6)).toBeUndefined();
    expect(tokenizer.vocabSize).toBe(49152);
    expect(tokenizer.addedTokens).toHaveLength(17);
    expect(tokenizer.decode([10 ** 6])).toBe('');
  });

  it('spells what it does not know in bytes, and adds the affixes on request', () => {
    const tokenizer = loadTokenizer(JSON.stringify(sentencePieceJson()), null);
    const ids = tokenizer.encode('hello 😀');
    expect(ids.map((id) => tokenizer.idToToken(id)).slice(-4)).toEqual(['<0xF0>', '<0x9F>', '<0x98>', '<0x80>']);
    expect(tokenizer.decode(ids)).toBe('hello 😀');
    expect(tokenizer.encode('hello', { affixes: true })).toEqual([1, ...tokenizer.encode('hello')]);
  });

  it('keeps a control token that normalizing would uncover in literal text', () => {
    const tokenizer = loadTokenizer(JSON.stringify(unigramJson()), null);
    expect(tokenizer.encode('a</s>')).toContain(1);
    for (const t of ['a</s>', 'a＜/s＞', '</s>', '</s></s>']) {
      expect(tokenizer.encode(t, { special: false })).not.toContain(1);
    }
    const json = byteLevelJson({
      normalizer: { type: 'NFKC' },
      added: [{ id: 999, content: '<tool>', special: false, normalized: true }],
    });
    const normalizing = loadTokenizer(JSON.stringify(json), null);
    expect(normalizing.encode('＜tool＞')).toEqual([999]);
    expect(normalizing.encode('＜tool＞', { special: false })).not.toContain(999);
    const mixed = '<tool>＜tool＞<tool>';
    expect(normalizing.encode(mixed, { literal: [{ start: 6, end: 12 }] }).filter((id) => id === 999)).toHaveLength(2);
    expect(normalizing.encode(mixed, { literal: [{ start: 5, end: 12 }] }).filter((id) => id === 999)).toHaveLength(1);
  });

  it('keeps runs of blanks one token in literal text: they are text', () => {
    const json = byteLevelJson();
    const tokenizer = loadTokenizer(JSON.stringify(json), null);
    const run = tokenizer.tokenToId('    ')!;
    expect(tokenizer.encode('a    b', { special: false })).toContain(run);
  });

  it('honours single_word and rstrip', () => {
    const json = byteLevelJson({
      added: [{ id: 900, content: 'tok', single_word: true, rstrip: true }],
      normalizer: null,
    });
    const tokenizer = loadTokenizer(JSON.stringify(json), null);
    expect(tokenizer.encode('tok')).toEqual([900]);
    expect(tokenizer.encode('a tok  b')).toEqual([...tokenizer.encode('a '), 900, ...tokenizer.encode('b')]);
    expect(tokenizer.encode('token')).not.toContain(900);
    expect(tokenizer.encode('_tok')).not.toContain(900);
  });
});

type Mutable = { [key: string]: Mutable } & { [index: number]: Mutable } & unknown[];

describe('damaged and hostile tokenizer.json', () => {
  const load = (change: (json: Mutable) => void, base: object = byteLevelJson(), vocab?: number) => {
    const json = structuredClone(base) as unknown as Mutable;
    change(json);
    return () => loadTokenizer(JSON.stringify(json), null, vocab);
  };
  const set = (path: string, value: unknown) => (json: Mutable) => {
    const keys = path.split('.');
    const last = keys.pop()!;
    const place = keys.reduce((node, key) => node[key]!, json);
    Object.assign(place, { [last]: value });
  };

  it('loads the unchanged files', () => {
    expect(load(() => undefined)).not.toThrow();
    expect(load(() => undefined, sentencePieceJson())).not.toThrow();
    expect(load(() => undefined, unigramJson())).not.toThrow();
  });

  const added = (token: object) => set('added_tokens', [token]);
  const cases: [string, (json: Mutable) => void, object?][] = [
    ['no model', set('model', null)],
    ['vocabulary as a list', set('model.vocab', ['a'])],
    ['empty vocabulary', set('model.vocab', {})],
    ['a negative id', set('model.vocab.hello', -1)],
    ['an id of 2^32', set('model.vocab.hello', 2 ** 32)],
    ['a fractional id', set('model.vocab.hello', 1.5)],
    ['an id as text', set('model.vocab.hello', '7')],
    ['two tokens with one id', set('model.vocab.hello', 3)],
    ['merges that are no list', set('model.merges', {})],
    ['a merge of unknown tokens', set('model.merges', ['he xx'])],
    ['a merge into an unknown token', set('model.merges', ['h h'])],
    ['a merge of one token', set('model.merges', ['hello'])],
    ['a merge that is a number', set('model.merges', [5])],
    ['an added token without content', added({ id: 999 })],
    ['an empty added token', added({ id: 999, content: '' })],
    ['an added token of 1 MB', added({ id: 999, content: 'x'.repeat(2 ** 20) })],
    ['an added token with a negative id', added({ id: -5, content: '<x>' })],
    ['an added token with an id of 2^32', added({ id: 2 ** 32, content: '<x>' })],
    ['an added token on the id of another', added({ id: 0, content: '<x>' })],
    [
      'an added token listed twice',
      set('added_tokens', [
        { id: 990, content: '<x>' },
        { id: 990, content: '<x>' },
      ]),
    ],
    ['an added token with two ids', added({ id: 990, content: 'hello' })],
    [
      'a million added tokens',
      set(
        'added_tokens',
        Array.from({ length: 10 ** 6 }, () => 0),
      ),
    ],
    [
      'a pattern that explodes',
      set('pre_tokenizer', { type: 'Split', pattern: { Regex: '(a+)+$' }, behavior: 'Isolated' }),
    ],
    [
      'an exploding normalizer pattern',
      set('normalizer', { type: 'Replace', pattern: { Regex: '(a|a)*b' }, content: '' }),
    ],
    ['an exploding decoder pattern', set('decoder', { type: 'Replace', pattern: { Regex: '(a|a)*b' }, content: '' })],
    ['an empty pattern', set('normalizer', { type: 'Replace', pattern: { String: '' }, content: 'x' })],
    ['no pattern', set('normalizer', { type: 'Replace', content: 'x' })],
    [
      '100,000 normalizers',
      set('normalizer', { type: 'Sequence', normalizers: Array.from({ length: 10 ** 5 }, () => ({ type: 'NFC' })) }),
    ],
    [
      'a text that doubles ten times',
      set('normalizer', {
        type: 'Sequence',
        normalizers: Array.from({ length: 10 }, () => ({ type: 'Replace', pattern: { String: 'a' }, content: 'aa' })),
      }),
    ],
    ['a long Prepend', set('normalizer', { type: 'Prepend', prepend: 'x'.repeat(1000) })],
    ['FixedLength of nothing', set('pre_tokenizer', { type: 'FixedLength', length: 0 })],
    ['a score that is no number', set('model.vocab.0', ['<s>', null]), unigramJson()],
    ['an unknown id outside', set('model.unk_id', 10 ** 6), unigramJson()],
  ];
  it.each(cases)('refuses %s', (_, change, base) => {
    expect(load(change, base)).toThrow(InvalidCheckpoint);
    try {
      load(change, base)();
    } catch (error) {
      expect((error as InvalidCheckpoint).fault).toBe('tokenizer');
      expect((error as InvalidCheckpoint).message.length).toBeLessThan(400);
    }
  });

  it('refuses what it would run wrongly', () => {
    expect(load(set('model.type', 'WordLevel'))).toThrow(UnsupportedModel);
    expect(load(set('model.end_of_word_suffix', '</w>'))).toThrow(UnsupportedModel);
    expect(load(set('pre_tokenizer', { type: 'Nonsense' }))).toThrow(UnsupportedModel);
    expect(load(set('normalizer', { type: 'Nonsense' }))).toThrow(UnsupportedModel);
    expect(load(set('decoder', { type: 'CTC' }))).toThrow(UnsupportedModel);
    expect(load(set('pre_tokenizer', { type: 'Split', pattern: { Regex: '[[:foo:]]' } }))).toThrow(UnsupportedModel);
  });

  it('refuses ids above the rows of the embedding', () => {
    const largest = loadTokenizer(JSON.stringify(byteLevelJson()), null).vocabSize;
    expect(load(() => undefined, byteLevelJson(), largest)).not.toThrow();
    expect(load(() => undefined, byteLevelJson(), largest - 1)).toThrow(/rows/);
  });

  it('refuses what is not JSON, and JSON that is made to hurt', () => {
    for (const file of ['', '{', 'null', '[]', '"x"', '\ufeff{}', '{"model":', 'NaN']) {
      expect(() => loadTokenizer(file, null)).toThrow(InvalidCheckpoint);
    }
    expect(() => loadTokenizer('{"a":'.repeat(10 ** 6), null)).toThrow(/deeper/);
    expect(() => loadTokenizer(`{"a":[${'[],'.repeat(5 * 10 ** 6)}[]]}`, null)).toThrow(/more than/);
    expect(() => loadTokenizer('{}', '[]')).toThrow(InvalidCheckpoint);
    const many = `{"model":{"type":"BPE","merges":[],"vocab":{${Array.from({ length: 1_100_000 }, (_, i) => `"${i}":${i}`).join()}}}}`;
    expect(() => loadTokenizer(many, null)).toThrow(/ids run/);
  });

  it('takes tokens named like parts of an object', () => {
    const json = JSON.stringify(byteLevelJson()).replace('"hello":', '"__proto__":9000,"constructor":9001,"hello":');
    const tokenizer = loadTokenizer(json, null);
    expect(tokenizer.tokenToId('__proto__')).toBe(9000);
    expect(tokenizer.tokenToId('constructor')).toBe(9001);
    expect(tokenizer.tokenToId('toString')).toBeUndefined();
  });

  it('survives any damage to a small file with a typed error', () => {
    const base = JSON.stringify(sentencePieceJson());
    const values = ['null', '0', '-1', '1e99', '""', '[]', '{}', 'true', '"x"', ']', ''];
    fc.assert(
      fc.property(fc.nat(base.length - 1), fc.nat(12), fc.constantFrom(...values), (at, cut, put) => {
        try {
          loadTokenizer(base.slice(0, at) + put + base.slice(at + cut), null).encode('hello</s> world');
        } catch (error) {
          if (!(error instanceof InvalidCheckpoint || error instanceof UnsupportedModel)) throw error;
        }
      }),
      { numRuns: tries(500) },
    );
  });
});

describe('input bombs', () => {
  const tokenizers = [
    loadTokenizer(shipped.tokenizerJson, shipped.tokenizerConfig),
    loadTokenizer(JSON.stringify(sentencePieceJson()), null),
  ];
  const planes = Array.from({ length: 17 * 64 }, (_, i) => String.fromCodePoint(i * 1024 + 0x60)).join('');
  const bombs: [string, string][] = [
    ['50,000 x a', 'a'.repeat(50_000)],
    ['1 MB without a blank', 'qwertyuiop'.repeat(100_000)],
    ['256 KB of blanks', ' '.repeat(2 ** 18)],
    ['100,000 combining marks', `a${'\u0301'.repeat(100_000)}`],
    ['lone surrogates', '\ud800x\udfff'.repeat(1_000)],
    ['all planes', planes],
    ['10,000 joined emoji', '👩‍👩‍👧'.repeat(10_000)],
    ['30,000 control tokens', '<|im_end|></s>'.repeat(30_000)],
    ['30,000 starts of control tokens', '<|im_<|im_en'.repeat(30_000)],
    ['200,000 digits', '7'.repeat(200_000)],
  ];
  it.each(thinned(bombs, 4))('%s takes seconds at most', (_, bomb) => {
    for (const tokenizer of tokenizers) {
      const start = process.cpuUsage();
      const ids = tokenizer.encode(bomb, { special: false });
      expect(process.cpuUsage(start).user / 1e6).toBeLessThan(20);
      expect(ids.every((id) => Number.isInteger(id) && id >= 0 && id < tokenizer.vocabSize)).toBe(true);
    }
  });
});
