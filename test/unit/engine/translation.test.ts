/** What a model that translates is told of languages, and what of that is refused. */
import { describe, expect, it } from 'vitest';
import { readGenerationConfig } from '../../../src/config/load.ts';
import { Answer } from '../../../src/engine/answer.ts';
import type { GenerateOptions } from '../../../src/engine/generation.ts';
import type { Prompt } from '../../../src/engine/text.ts';
import { InvalidRequest } from '../../../src/errors.ts';
import { loadTokenizer } from '../../../src/text/tokenizer.ts';
import { languageTokenizer, type AffixOrder } from '../../support/language-tokenizer.ts';
import { loadConfig } from '../families/checkpoint.ts';

interface Setting {
  readonly order?: AffixOrder | 'no tokenizer';
  readonly generation?: object;
  readonly folder?: string;
}

function answer(prompt: Prompt, options: GenerateOptions, setting: Setting = {}): Answer {
  const { order = 'code first', generation = {}, folder = 'nllb-moe' } = setting;
  const { config } = loadConfig(`test/fixtures/families/${folder}`);
  const tokenizer = order === 'no tokenizer' ? null : loadTokenizer(JSON.stringify(languageTokenizer(order)), null);
  return new Answer(prompt, options, {
    text: tokenizer && { tokenizer, template: null, endToken: '</s>' },
    config,
    generation: readGenerationConfig(JSON.stringify(generation)),
    endTokens: [2],
    contextLength: 64,
    adapters: [],
  });
}

function caught(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was refused');
}

/** Ids that may be drawn; null: all. */
function drawable(of: Answer): number[] | null {
  const { allowed } = of.draw();
  return allowed
    ? Array.from({ length: 96 }, (_, id) => id).filter((id) => (allowed[id >> 5]! >> (id & 31)) & 1)
    : null;
}

const take = (of: Answer, id: number): string => of.take({ id, logprob: 0, topLogprobs: [], routing: [] }).token.text;

describe('a text', () => {
  it.each(['code first', 'code last'] as const)(
    'begins with its code and ends with the end token, where the tokenizer has the %s',
    (order) => {
      const set = { targetLanguage: 'deu_Latn' };
      expect(answer('w1 w2', set, { order }).prompt).toEqual([93, 5, 6, 2]);
      expect(answer('w1 w2', { ...set, sourceLanguage: 'fra_Latn' }, { order }).prompt).toEqual([95, 5, 6, 2]);
    },
  );

  it('that is token ids has its code among them', () => {
    expect(answer({ ids: [95, 5, 2] }, { targetLanguage: 'deu_Latn' }).prompt).toEqual([95, 5, 2]);
  });
});

describe('an answer', () => {
  it('begins with the code of its language, of which its text shows nothing, and goes on as it likes', () => {
    const first = answer('w1', { targetLanguage: 'fra_Latn', logitBias: { 95: -100, 7: -100 } });
    expect(drawable(first)).toEqual([95]);
    expect(take(first, 95)).toBe('');
    expect(drawable(first)).toHaveLength(94); // what the bias bans is banned from now on
    expect(take(first, 8)).toBe('w4');
  });

  it('begins as generation_config.json says, where the request does not', () => {
    const generation = { forced_bos_token_id: 94 };
    expect(drawable(answer('w1', {}, { generation }))).toEqual([94]);
    expect(drawable(answer('w1', { targetLanguage: 95 }, { generation }))).toEqual([95]);
  });

  it('of a model without a tokenizer begins with the id that is given, or as it likes', () => {
    const setting = { order: 'no tokenizer' } as const;
    expect(drawable(answer({ ids: [93, 2] }, { targetLanguage: 94 }, setting))).toEqual([94]);
    expect(drawable(answer({ ids: [93, 2] }, {}, setting))).toBeNull();
  });

  it('of a model that does not translate begins as it likes', () => {
    expect(drawable(answer({ ids: [1, 2] }, {}, { folder: 'switch', order: 'no tokenizer' }))).toBeNull();
    expect(drawable(answer('w1', {}, { folder: 'olmoe' }))).toBeNull();
  });
});

describe('is refused, with the codes that there are', () => {
  it.each<[string, Prompt, GenerateOptions, Setting, string]>([
    ['no language to translate into', 'w1', {}, {}, 'targetLanguage'],
    ['a language without a code', 'w1', { targetLanguage: 'German' }, {}, 'targetLanguage'],
    ['a text in a language without a code', 'w1', { targetLanguage: 94, sourceLanguage: 'de' }, {}, 'sourceLanguage'],
    ['an id outside the vocabulary', 'w1', { targetLanguage: 96 }, {}, 'targetLanguage'],
    [
      'a language for a model that has none',
      'w1',
      { targetLanguage: 'deu_Latn' },
      { folder: 'olmoe' },
      'targetLanguage',
    ],
    ['a language of token ids', { ids: [5] }, { targetLanguage: 94, sourceLanguage: 'fra_Latn' }, {}, 'sourceLanguage'],
  ])('%s', (_what, prompt, options, setting, option) => {
    const error = caught(() => answer(prompt, options, setting)) as InvalidRequest;
    expect(error).toBeInstanceOf(InvalidRequest);
    expect(error.details).toMatchObject({ option });
    expect(error.message).toContain(option);
    if (typeof prompt === 'string' && !setting.folder) expect(error.message).toContain('deu_Latn');
  });

  it('messages', () => {
    const error = caught(() => answer([{ role: 'user', content: 'w1' }], { targetLanguage: 'deu_Latn' }));
    expect(error).toMatchObject({ message: expect.stringContaining('encoder') as string });
  });
});
