import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Sentences } from '../../../demo/answers/sentences.ts';
import { figuresLine, figuresList } from '../../../demo/answers/words.ts';
import { fileNameOf } from '../../../demo/conversations/save-file.ts';
import type { Figures } from '../../../demo/conversations/types.ts';
import { Keys, matches } from '../../../demo/keys.ts';
import { allowedText, FIELDS, isAllowed, settingsText } from '../../../demo/settings/fields.ts';
import { fromFragment, LONGEST_LINK, toFragment } from '../../../demo/share/link.ts';

const FIGURES: Figures = {
  model: 'tiny',
  seed: 7,
  promptTokens: 20,
  cachedTokens: 12,
  generatedTokens: 45,
  timeToFirstTokenMs: 500,
  tokensPerSecond: 12.5,
  hitRate: 0.92,
  bytesPerToken: 1.2e6,
  approximations: [],
};

describe('share links', () => {
  const shared = fc.record({
    prompt: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 200 }).filter((text) => text.trim() !== ''),
    system: fc.string({ unit: 'grapheme', maxLength: 50 }),
    settings: fc.constantFrom({}, { temperature: 0.7 }, { seed: 4294967295, topK: 40 }),
  });

  it('open as they were made, and are plain characters', () => {
    fc.assert(
      fc.property(shared, (one) => {
        const fragment = toFragment(one);
        expect(fragment).toMatch(/^#ask=[\w-]+$/);
        expect(fromFragment(fragment)).toEqual(one);
      }),
    );
  });

  it('never throw anything but a sentence, whatever stands in the address', () => {
    const parts = fc.oneof(
      fc.string(),
      fc.base64String(),
      fc.json().map((json) => btoa(unescape(encodeURIComponent(json)))),
    );
    fc.assert(
      fc.property(parts, (text) => {
        try {
          const held = fromFragment(`#ask=${text}`);
          expect(held === null || typeof held.prompt === 'string').toBe(true);
        } catch (error) {
          expect(error).toMatchObject({ name: 'ReadError' });
        }
      }),
    );
  });

  it.each([
    ['', null],
    ['#', null],
    ['#other', null],
  ])('are not found in %j', (fragment, held) => expect(fromFragment(fragment)).toBe(held));

  const of = (value: unknown): string => `#ask=${btoa(JSON.stringify(value))}`;
  it.each([
    [of({ v: 2, prompt: 'x', settings: {} }), 'The link.v must be 1'],
    [of({ v: 1, prompt: ' ', settings: {} }), 'The link.prompt must be a question'],
    [of({ v: 1, prompt: 'x', settings: { temperature: 'hot' } }), 'The link.settings.temperature must be a number'],
    [of({ v: 1, prompt: 'x', settings: {}, code: 'y' }), 'The link must be without "code"'],
    [of({ v: 1, prompt: 'x' }), 'The link.settings must be an object'],
    ['#ask=%%%', 'as it was made'],
    [`#ask=${btoa('{"v":1,"prompt":"\xff","settings":{}}')}`, 'as it was made'],
    [`#ask=${'a'.repeat(LONGEST_LINK)}`, 'at most'],
  ])('say what is wrong with them: %#', (fragment, why) => expect(() => fromFragment(fragment)).toThrow(why));

  it('refuse what is too long to send', () => {
    expect(() => toFragment({ prompt: 'x'.repeat(LONGEST_LINK), system: '', settings: {} })).toThrow('too long');
  });
});

describe('figures', () => {
  it('are one line, with experts only where some were missing', () => {
    expect(figuresLine('complete', FIGURES)).toBe(
      '13 tokens/s · first token after 0.50 s · 45 tokens · 92% hits · 1.20 MB a token',
    );
    const resident = { ...FIGURES, hitRate: 1, bytesPerToken: 0 };
    expect(figuresLine('stopped', resident)).toBe('Stopped · 13 tokens/s · first token after 0.50 s · 45 tokens');
    expect(figuresLine('writing', null)).toBe('Interrupted');
    expect(figuresLine('cut', { ...resident, approximations: ['top 2 of 4'] })).toMatch(
      /^Cut short .* approximate: top 2 of 4$/,
    );
  });

  it('have everything on demand', () => {
    expect(Object.fromEntries(figuresList('complete', FIGURES))).toEqual({
      Prompt: '20 tokens, 12 of them known from before, read at 16 tokens/s',
      'First token': 'after 0.50 s',
      Answer: '45 tokens, 13 tokens/s after the first',
      'Experts on the card': '92%',
      'Read for experts': '1.20 MB a token',
      Ended: 'by itself',
      Seed: '7',
      Model: 'tiny',
    });
  });
});

describe('sentences', () => {
  const said = (...pieces: string[]): string[] => {
    const out: string[] = [];
    const sentences = new Sentences((sentence) => out.push(sentence));
    for (const piece of pieces) sentences.push(piece);
    sentences.finish();
    return out;
  };

  it('are read when they are whole, not token by token', () => {
    expect(said('It is', ' 3.5', ' m. Th', 'en “yes.” ', 'And\nmore')).toEqual([
      'It is 3.5 m.',
      'Then “yes.”',
      'And',
      'more',
    ]);
    expect(said(...Array<string>(200).fill('word ')).length).toBeGreaterThan(1);
    expect(said('', ' ')).toEqual([]);
  });

  it('lose nothing, however the text is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (pieces) => {
        const squeezed = (text: string): string => text.replace(/\s+/g, '');
        expect(squeezed(said(...pieces).join(' '))).toBe(squeezed(pieces.join('')));
      }),
    );
  });
});

describe('settings', () => {
  it.each([
    ['temperature', [0, 0.7], [-0.1, Number.NaN, 99]],
    ['topP', [0.01, 1], [0, 1.1]],
    ['minP', [0, 0.9], [1]],
    ['topK', [0, 40], [0.5, -1]],
    ['seed', [0, 2 ** 32 - 1], [2 ** 32, 1.5]],
    ['repetitionPenalty', [1.1], [0]],
    ['maxTokens', [1], [0]],
  ])('%s', (name, good, bad) => {
    const field = FIELDS.find((one) => one.name === name)!;
    expect(good.map((value) => isAllowed(field, value))).toEqual(good.map(() => true));
    expect(bad.map((value) => isAllowed(field, value))).toEqual(bad.map(() => false));
    expect(allowedText(field)).toMatch(/^a (whole )?number (above|of at least) /);
  });

  it('are named as in the panel', () => {
    expect(settingsText({ seed: 5, temperature: 0.7 })).toBe('Temperature 0.7, Seed 5');
  });
});

describe('keys', () => {
  const press = (key: string, held: Partial<Record<'altKey' | 'ctrlKey' | 'metaKey' | 'shiftKey', boolean>> = {}) => ({
    key,
    code: '',
    altKey: false,
    ctrlKey: false,
    metaKey: false,
    shiftKey: false,
    ...held,
  });

  it.each([
    ['?', press('?', { shiftKey: true }), true],
    ['/', press('/'), true],
    ['/', press('/', { ctrlKey: true }), false],
    ['mod+k', press('k', { ctrlKey: true }), true],
    ['mod+k', press('k'), false],
    ['mod+k', press('K', { ctrlKey: true, shiftKey: true }), false],
    ['alt+n', press('n', { altKey: true }), true],
    ['alt+n', press('n', { altKey: true, metaKey: true }), false],
  ])('%s', (keys, event, does) => expect(matches(keys, event)).toBe(does));

  it('are listed by group until they are taken away', () => {
    const keys = new Keys();
    const one = { keys: 'a', label: 'A', group: 'X' };
    keys.add({ keys: 'b', label: 'B', group: 'Y' }, { keys: 'c', label: 'C', group: 'X' });
    const remove = keys.add(one);
    expect(Object.fromEntries(keys.groups)).toMatchObject({ X: [{ keys: 'c' }, one], Y: [{ keys: 'b' }] });
    remove();
    expect(keys.groups.get('X')).toHaveLength(1);
  });
});

it('file names are what every system takes', () => {
  expect(fileNameOf('What is 1/2? “Élan”: <yes>')).toBe('What-is-1-2-Élan-yes');
  expect(fileNameOf('///')).toBe('conversation');
});
