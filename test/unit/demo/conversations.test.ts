import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromJson, toJson, withNewIds } from '../../../demo/conversations/file.ts';
import { toMarkdown } from '../../../demo/conversations/markdown.ts';
import { fold, foldText, rangesOf, search, wordsOf } from '../../../demo/conversations/search.ts';
import { branchFrom, headWithout, latestLeaf, pathTo, siblings } from '../../../demo/conversations/tree.ts';
import { titleOf, type Conversation, type Message } from '../../../demo/conversations/types.ts';

const message = (id: string, parent: string | null, at: number, content = id): Message => ({
  id,
  parent,
  role: parent === null || /^q/.test(id) ? 'user' : 'assistant',
  content,
  createdAt: at,
  state: 'complete',
  figures: null,
  revision: 1,
});

/**
 *   q1 - a1 - q2 - a3
 *      \ a2
 *   q3
 */
const TREE = [
  message('q1', null, 1),
  message('a1', 'q1', 2),
  message('a2', 'q1', 3),
  message('q2', 'a1', 4),
  message('a3', 'q2', 5),
  message('q3', null, 6),
];
const ids = (messages: readonly Message[]): string[] => messages.map((m) => m.id);

const conversation = (messages: readonly Message[], info: Partial<Conversation['info']> = {}): Conversation => ({
  info: {
    id: 'c',
    title: 'A title',
    model: 'tiny',
    system: '',
    settings: {},
    createdAt: 0,
    updatedAt: 1,
    head: messages.at(-1)?.id ?? null,
    ...info,
  },
  messages,
});

describe('the tree', () => {
  it('walks to a leaf, finds what stands beside, and the newest end', () => {
    expect(ids(pathTo(TREE, 'a3'))).toEqual(['q1', 'a1', 'q2', 'a3']);
    expect(pathTo(TREE, 'gone')).toEqual([]);
    expect(ids(siblings(TREE, TREE[1]!))).toEqual(['a1', 'a2']);
    expect(ids(siblings(TREE, TREE[0]!))).toEqual(['q1', 'q3']);
    expect(latestLeaf(TREE, 'a1')).toBe('a3');
    expect(latestLeaf(TREE, 'q1')).toBe('a2');
    expect([...branchFrom(TREE, 'a1')].sort()).toEqual(['a1', 'a3', 'q2']);
  });

  it('shows a neighbour, or what was answered, when a branch goes', () => {
    expect(headWithout(TREE, TREE[2]!)).toBe('a3');
    expect(headWithout(TREE, TREE[1]!)).toBe('a2');
    expect(headWithout(TREE, TREE[4]!)).toBe('q2');
    expect(headWithout(TREE.slice(0, 5), TREE[0]!)).toBe(null);
  });

  it('ends walks over damaged trees', () => {
    const loop = [message('a', 'b', 1), message('b', 'a', 2)];
    expect(pathTo(loop, 'a')).toHaveLength(2);
    expect(latestLeaf(loop, 'a')).toBeTypeOf('string');
    expect(branchFrom(loop, 'a').size).toBe(2);
  });
});

describe('titles', () => {
  it.each([
    ['What?', 'What?'],
    ['  two  words\nand more', 'two words'],
    ['\n ', 'Untitled'],
    ['word '.repeat(30), `${'word '.repeat(11)}word…`],
    ['x'.repeat(99), `${'x'.repeat(60)}…`],
  ])('%j', (question, title) => expect(titleOf(question)).toBe(title));

  it('cut no character in half', () => {
    expect(titleOf(`${'x'.repeat(59)}😀😀`)).toBe(`${'x'.repeat(59)}…`);
  });
});

/** Any tree of messages, with the times that the page would give them. */
const anyConversation: fc.Arbitrary<Conversation> = fc
  .record({
    parents: fc.array(fc.nat(), { maxLength: 12 }),
    texts: fc.array(fc.string({ unit: 'binary', maxLength: 20 }), { minLength: 12, maxLength: 12 }),
    title: fc.string({ unit: 'binary' }),
    temperature: fc.option(fc.double({ min: 0, max: 5, noNaN: true }), { nil: undefined }),
    rate: fc.option(fc.double({ noNaN: true, noDefaultInfinity: true }), { nil: null }),
    at: fc.integer({ min: 0, max: 4e12 }),
    head: fc.nat(),
  })
  .map(({ parents, texts, title, temperature, rate: drawn, at, head }) => {
    const rate = drawn === null ? null : drawn + 0; // JSON has no -0
    const messages = parents.map((parent, i): Message => ({
      ...message(`m${i}`, i === 0 || parent % (i + 1) === i ? null : `m${parent % (i + 1)}`, at + i, texts[i]!),
      figures:
        i % 2
          ? {
              model: title,
              seed: i,
              promptTokens: 1,
              cachedTokens: 0,
              generatedTokens: 2,
              timeToFirstTokenMs: 1.5,
              tokensPerSecond: rate,
              hitRate: null,
              bytesPerToken: rate,
              approximations: [title],
            }
          : null,
    }));
    const settings = temperature === undefined ? {} : { temperature: temperature + 0 };
    return conversation(messages, { title, settings, createdAt: at, head: messages[head % 12]?.id ?? null });
  });

describe('files', () => {
  it('read back exactly, whatever was said', () => {
    fc.assert(
      fc.property(fc.array(anyConversation, { maxLength: 3 }), (all) => {
        expect(fromJson(toJson(all))).toEqual(all);
      }),
    );
  });

  it('come in under new ids, with the same tree', () => {
    fc.assert(
      fc.property(anyConversation, (one) => {
        const two = withNewIds(one);
        const known = new Set([one.info.id, ...ids(one.messages)]);
        expect([two.info.id, ...ids(two.messages)].some((id) => known.has(id))).toBe(false);
        const place = (c: Conversation, id: string | null): number => c.messages.findIndex((m) => m.id === id);
        expect(two.messages.map((m) => place(two, m.parent))).toEqual(one.messages.map((m) => place(one, m.parent)));
        expect(place(two, two.info.head)).toBe(place(one, one.info.head));
        expect(two.messages.map((m) => m.content)).toEqual(one.messages.map((m) => m.content));
      }),
    );
  });

  const good = JSON.parse(toJson([conversation(TREE)])) as Record<string, unknown>;
  const changed = (
    change: (file: typeof good, one: Record<string, unknown>, messages: Record<string, unknown>[]) => void,
  ): string => {
    const file = structuredClone(good);
    const one = (file.conversations as Record<string, unknown>[])[0]!;
    change(file, one, one.messages as Record<string, unknown>[]);
    return JSON.stringify(file);
  };
  it.each([
    ['not json', 'The file must be JSON'],
    ['null', 'The file must be one that webmoe exported'],
    ['{"format":"other"}', 'The file must be one that webmoe exported'],
    [changed((file) => (file.version = 2)), 'version must be 1, found 2'],
    [changed((file) => (file.conversations = {})), 'conversations must be a list'],
    [changed((_, one) => (one.title = 5)), 'conversations[0].title must be a text'],
    [
      changed((_, one) => (one.settings = { temperature: -1 })),
      'conversations[0].settings.temperature must be a number of at least 0',
    ],
    [changed((_, one) => (one.settings = { heat: 1 })), 'conversations[0].settings must be without "heat"'],
    [changed((_, one) => (one.createdAt = 'yesterday')), 'conversations[0].createdAt must be a time'],
    [changed((_, one) => (one.head = 'gone')), 'conversations[0].head must be null or the id of a message'],
    [changed((_, one) => (one.extra = 1)), 'conversations[0] must be without "extra"'],
    [changed((_, __, m) => (m[1]!.role = 'system')), 'conversations[0].messages[1].role must be "user" or "assistant"'],
    [
      changed((_, __, m) => (m[0]!.parent = 'a1')),
      'conversations[0].messages[0].parent must be null or the id of a message before it',
    ],
    [changed((_, __, m) => (m[1]!.id = 'q1')), 'conversations[0].messages[1].id must be an id of its own'],
    [
      changed((_, __, m) => (m[1]!.createdAt = m[0]!.createdAt)),
      'conversations[0].messages[1].createdAt must be later',
    ],
    [changed((_, __, m) => delete m[2]!.content), 'conversations[0].messages[2].content must be a text'],
  ])('name what is wrong: %#', (text, why) => {
    expect(() => fromJson(text)).toThrow(why);
  });

  it('never throw anything but a sentence, whatever they hold', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), fc.nat(), (json, at) => {
        const keys = ['title', 'messages', 'settings', 'head', 'id', 'updatedAt'];
        const text = changed((_, one) => (one[keys[at % keys.length]!] = JSON.parse(json)));
        try {
          fromJson(text);
        } catch (error) {
          expect(error).toMatchObject({ name: 'ReadError' });
        }
      }),
    );
  });

  it('are Markdown for people, of the branch that is shown', () => {
    const text = toMarkdown(conversation(TREE, { head: 'a2', system: 'Be\nbrief.' }));
    expect(text).toBe(
      '# A title\n\n1970-01-01 · tiny\n\n**System prompt**\n\n> Be\n> brief.\n\n## You\n\nq1\n\n## tiny\n\na2\n',
    );
  });
});

describe('search', () => {
  const all = [
    conversation([message('q1', null, 1, 'Où est le CAFÉ?'), message('a1', 'q1', 2, 'By the old harbour.')], {
      id: 'x',
      title: 'Lunch',
    }),
    conversation([message('q1', null, 1, 'Tell me of the sea')], { id: 'y', title: 'Harbour lights' }),
  ];
  const found = (query: string): string[] => search(all, query).map((f) => f.conversation.info.id);

  it('finds words whatever their case and accents, in titles and messages', () => {
    expect(found('cafe')).toEqual(['x']);
    expect(found('HARBOUR')).toEqual(['x', 'y']);
    expect(found('harbour lunch')).toEqual(['x']);
    expect(found('harbour sea nothing')).toEqual([]);
    expect(found('  ')).toEqual(['x', 'y']);
    expect(search(all, 'harbour')[0]!.message).toBe('a1');
  });

  it('marks the characters that match, in the text as it is written', () => {
    expect(rangesOf('İstanbul CAFÉ café', wordsOf('cafe')).map(({ start, end }) => [start, end])).toEqual([
      [9, 13],
      [14, 18],
    ]);
    const [hit] = search(all, 'cafe');
    const [range] = hit!.inSnippet;
    expect(hit!.snippet.slice(range!.start, range!.end)).toBe('CAFÉ');
  });

  it('folds text at once as it does by character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(fold(text).text).toBe(foldText(text));
      }),
    );
    expect(foldText('ΟΔΟΣ Élan İ')).toBe('οδοσ elan i');
  });

  it('marks nothing but matches, in any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme', maxLength: 2 }), (text, query) => {
        const words = wordsOf(query);
        let at = 0;
        for (const { start, end } of rangesOf(text, words)) {
          expect(start).toBeGreaterThanOrEqual(at);
          expect(words.some((word) => fold(text.slice(start, end)).text.includes(word))).toBe(true);
          at = end;
        }
      }),
    );
  });

  it('shows where in a long message the word is', () => {
    const long = conversation([message('q', null, 1, `${'filler '.repeat(50)}needle${' filler'.repeat(50)}`)]);
    const [hit] = search([long], 'needle');
    expect(hit!.snippet).toMatch(/^…(filler )+needle( filler)+/);
    expect(hit!.snippet.length).toBeLessThan(130);
  });
});
