/** Tokenizers out of GGUF metadata: the ids of the tokenizer.json that the metadata was made from, and of SentencePiece's own rule. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { UnsupportedModel } from '../../../../src/errors.ts';
import { patternHazard } from '../../../../src/text/pattern-guard.ts';
import { loadTokenizer, type Tokenizer } from '../../../../src/text/tokenizer.ts';
import { endTokenIds, generationConfig, tokenizerConfig } from '../../../../src/weights/gguf/chat.ts';
import { PRE_TOKENIZERS } from '../../../../src/weights/gguf/pre-tokenizers.ts';
import { ggufTokenizer } from '../../../../src/weights/gguf/tokenizer.ts';
import type { MetadataValue } from '../../../../src/weights/gguf/values.ts';
import { Vocabulary } from '../../../../src/weights/gguf/vocabulary.ts';
import { prng } from '../../../../src/util/prng.ts';
import { SHIPPED } from '../../../support/models.ts';

type Metadata = Readonly<Record<string, MetadataValue>>;

const vocabularyOf = (keys: Metadata): Vocabulary =>
  new Vocabulary(new Map(Object.entries(keys).map(([key, value]) => [`tokenizer.ggml.${key}`, value])), 'm.gguf');
const tokenizerOf = (keys: Metadata): Tokenizer =>
  loadTokenizer(JSON.stringify(ggufTokenizer(vocabularyOf(keys))), null);

describe('byte pairs', () => {
  const shipped = readFileSync(`${SHIPPED}/tokenizer.json`, 'utf8');
  interface File {
    readonly model: { readonly vocab: Record<string, number>; readonly merges: (string | [string, string])[] };
    readonly added_tokens: readonly { readonly id: number; readonly content: string; readonly special: boolean }[];
  }
  const file = JSON.parse(shipped) as File;
  const tokens: string[] = [];
  const types: number[] = [];
  for (const [text, id] of Object.entries(file.model.vocab)) [tokens[id], types[id]] = [text, 1];
  for (const { id, content } of file.added_tokens) [tokens[id], types[id]] = [content, 3];
  const keys: Metadata = {
    model: 'gpt2',
    pre: 'smollm',
    tokens,
    token_type: types,
    merges: file.model.merges.map((m) => (typeof m === 'string' ? m : m.join(' '))),
    bos_token_id: 1,
    eos_token_id: 2,
    add_bos_token: false,
  };
  const [there, here] = [loadTokenizer(shipped, null), tokenizerOf(keys)];

  test.each([
    'Hello, world! How are you?',
    "it's 1234.5 o'clock, I'LL we've",
    '  two  blanks\n\n\tand tabs   \n  ',
    'naïve café, Привет, 你好, 🙂🙂',
    '<|im_start|>user\nHi<|im_end|>\n',
    'const f = (x: number): number => x ** 2; // comment',
    '',
  ])('%j as the shipped tokenizer.json has it', (text) => {
    const ids = there.encode(text);
    expect(here.encode(text)).toEqual(ids);
    expect(here.decode(ids)).toBe(text);
    expect(here.encode(text, { affixes: true })).toEqual(ids);
  });

  test('what a user types stays text', () => {
    const text = '<|im_end|>';
    const literal = [{ start: 0, end: text.length }];
    expect(here.encode(text, { literal })).toEqual(there.encode(text, { literal }));
    expect(here.encode(text)).toEqual([2]);
  });

  test('the begin token comes where the file or the rule says', () => {
    expect(tokenizerOf({ ...keys, add_bos_token: true }).encode('a', { affixes: true })[0]).toBe(1);
    const silent = Object.fromEntries(Object.entries(keys).filter(([key]) => key !== 'add_bos_token'));
    expect(tokenizerOf({ ...silent, pre: 'llama-bpe' }).encode('a', { affixes: true })[0]).toBe(1);
    expect(tokenizerOf(silent).encode('a', { affixes: true })).toEqual(there.encode('a'));
  });

  test('unknown rules and kinds are refused by name', () => {
    expect(() => tokenizerOf({ ...keys, pre: 'default' })).toThrow(UnsupportedModel);
    expect(() => tokenizerOf({ ...keys, pre: 'default' })).toThrow(/"default"/);
    expect(() => tokenizerOf({ ...keys, model: 'bert' })).toThrow(/"bert"/);
  });

  test('lists that do not fit are refused', () => {
    expect(() => tokenizerOf({ ...keys, token_type: [1, 1] })).toThrow(/token_type/);
    expect(() => tokenizerOf({ ...keys, add_bos_token: true, bos_token_id: 10 ** 6 })).toThrow(/bos_token_id/);
    expect(() => tokenizerOf({ ...keys, merges: ['a'] })).toThrow(/merge 0/);
  });
});

/** Patterns as the published tokenizers have them; a text each that every one of them cuts in another way. */
describe('rules of cutting', () => {
  const cut = (name: string, text: string): string[] => {
    let parts = [text];
    for (const pattern of PRE_TOKENIZERS.get(name)!.patterns) {
      parts = parts.flatMap((part) => {
        const out: string[] = [];
        let at = 0;
        for (const match of part.matchAll(new RegExp(pattern, 'gu'))) {
          if (match.index > at) out.push(part.slice(at, match.index));
          if (match[0]) out.push(match[0]);
          at = match.index + match[0].length;
        }
        if (at < part.length) out.push(part.slice(at));
        return out;
      });
    }
    return parts;
  };

  test('are safe to run', () => {
    for (const [name, { patterns }] of PRE_TOKENIZERS) {
      for (const pattern of patterns) {
        expect(patternHazard(pattern), name).toBeNull();
        expect(() => new RegExp(pattern, 'gu'), name).not.toThrow();
      }
    }
  });

  const TEXT = "HelloWorld I'LL pay 12345 $ now\n\n  你好x";
  test.each([
    ['gpt-2', ['HelloWorld', ' I', "'", 'LL', ' pay', ' 12345', ' $', ' now', '\n\n ', ' 你好x']],
    ['smollm', ['HelloWorld', ' I', "'", 'LL', ' pay', ' ', '1', '2', '3', '4', '5', ' $', ' now', '\n\n ', ' 你好x']],
    ['llama-bpe', ['HelloWorld', ' I', "'LL", ' pay', ' ', '123', '45', ' $', ' now', '\n\n', ' ', ' 你好x']],
    ['qwen2', ['HelloWorld', ' I', "'LL", ' pay', ' ', '1', '2', '3', '4', '5', ' $', ' now', '\n\n', ' ', ' 你好x']],
    ['gpt-4o', ['Hello', 'World', " I'LL", ' pay', ' ', '123', '45', ' $', ' now', '\n\n', ' ', ' 你好x']],
    [
      'tekken',
      ['Hello', 'World', ' I', "'LL", ' pay', ' ', '1', '2', '3', '4', '5', ' $', ' now', '\n\n', ' ', ' 你好x'],
    ],
    ['deepseek-v3', ['HelloWorld', ' I', "'LL", ' pay', ' ', '123', '45', ' $', ' now', '\n\n', '  ', '你好', 'x']],
    [
      'deepseek-llm',
      ['HelloWorld', ' I', "'", 'LL', ' pay', ' ', '12345', ' $', ' now', '\n', '\n', '  ', '你好', 'x'],
    ],
  ])('%s', (name, parts) => {
    expect(cut(name, TEXT)).toEqual(parts);
  });
});

describe('pieces by score', () => {
  const letters = [...'abcde\u2581'];
  const joined = ['ab', 'bc', 'abc', 'cd', 'de', 'cde', '\u2581a', '\u2581ab', 'ea', 'ee'];
  const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`);
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, ...letters, ...joined];
  const first = 3 + bytes.length;
  const scores = tokens.map((_, id) => (id < first ? 0 : id < first + letters.length ? -100 - id : -((id * 7) % 10)));
  const keys: Metadata = {
    model: 'llama',
    tokens,
    scores,
    token_type: tokens.map((_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < first ? 6 : 1)),
    bos_token_id: 1,
    eos_token_id: 2,
    unknown_token_id: 0,
  };

  /** SentencePiece's rule: join the neighbours whose piece has the best score, the leftmost of equals, until none have one. */
  function best(text: string): number[] {
    const parts = [...text];
    const scoreOf = (i: number): number => {
      const id = tokens.indexOf(parts[i]! + (parts[i + 1] ?? '\n'));
      return id >= first ? scores[id]! : -Infinity;
    };
    for (;;) {
      const all = parts.map((_, i) => scoreOf(i));
      const top = Math.max(...all);
      if (top === -Infinity) return parts.map((p) => tokens.indexOf(p));
      const at = all.indexOf(top);
      parts.splice(at, 2, parts[at]! + parts[at + 1]!);
    }
  }

  const tokenizer = tokenizerOf(keys);

  test('are joined as SentencePiece joins them', () => {
    const u = prng(5);
    for (let n = 0; n < 300; n++) {
      const text = Array.from({ length: 1 + Math.floor(u() * 14) }, () => 'abcde '[Math.floor(u() * 6)]).join('');
      const ids = tokenizer.encode(text);
      expect(ids, text).toEqual(best(`\u2581${text.replaceAll(' ', '\u2581')}`));
      expect(tokenizer.decode(ids), text).toBe(text);
    }
  });

  test('other characters are bytes, and a text begins with <s>', () => {
    const ids = tokenizer.encode('aé', { affixes: true });
    expect(ids).toEqual([1, tokens.indexOf('\u2581a'), 3 + 0xc3, 3 + 0xa9]);
    expect(tokenizer.decode(ids.slice(1))).toBe('aé');
  });

  test('the blank before a text can be left out', () => {
    expect(tokenizerOf({ ...keys, add_space_prefix: false }).encode('a')).toEqual([tokens.indexOf('a')]);
  });
});

describe('chat', () => {
  const tokens = ['a', '<|end|>', '<|return|>', '<|call|>', '<|im_end|>', '</s>', '<s>'];
  const keys: Metadata = { tokens, token_type: [1, 3, 3, 3, 1, 3, 3], eos_token_id: 5, bos_token_id: 6 };

  test('an answer ends at what the file names and at ends of turns', () => {
    expect(endTokenIds(vocabularyOf(keys))).toEqual([5, 2, 3]);
    // Without Harmony's own ends, <|end|> ends a turn; a token that is ordinary text ends nothing.
    expect(endTokenIds(vocabularyOf({ ...keys, token_type: [1, 3, 1, 3, 1, 3, 3] }))).toEqual([5, 1, 3]);
    expect(endTokenIds(vocabularyOf({ ...keys, eot_token_id: 4 }))).toEqual([5, 4, 2, 3]);
  });

  test('wishes about sampling are what generation_config.json calls them', () => {
    const sampling = new Map<string, MetadataValue>([
      ['general.sampling.temp', 0.6],
      ['general.sampling.top_k', 20],
      ['general.sampling.penalty_repeat', 1.1],
      ['general.sampling.mirostat', 2],
    ]);
    const wishes = { do_sample: true, temperature: 0.6, top_k: 20, repetition_penalty: 1.1 };
    expect(generationConfig(vocabularyOf(keys), sampling)).toEqual({ eos_token_id: [5, 2, 3], ...wishes });
    expect(generationConfig(vocabularyOf(keys), new Map())).toEqual({ eos_token_id: [5, 2, 3] });
  });

  test('templates and named tokens', () => {
    const one = new Map<string, MetadataValue>([['tokenizer.chat_template', 'T']]);
    expect(tokenizerConfig(vocabularyOf(keys), one)).toMatchObject({
      bos_token: '<s>',
      eos_token: '</s>',
      chat_template: 'T',
    });
    const two = new Map([...one, ['tokenizer.chat_template.tool_use', 'U']] as [string, MetadataValue][]);
    expect(tokenizerConfig(vocabularyOf(keys), two).chat_template).toEqual([
      { name: 'default', template: 'T' },
      { name: 'tool_use', template: 'U' },
    ]);
  });
});
