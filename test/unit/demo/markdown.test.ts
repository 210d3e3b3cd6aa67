/** Text of messages without a page: what is read as what, and what half a text looks like. */
import { describe, expect, it } from 'vitest';
import { decodeEntities } from '../../../demo/text/entities.ts';
import { heal } from '../../../demo/text/heal.ts';
import { extensionOf, languageName } from '../../../demo/text/languages.ts';
import { safeUrl } from '../../../demo/text/link.ts';
import { lexMarkdown } from '../../../demo/text/markdown.ts';
import type { MathToken } from '../../../demo/text/math-syntax.ts';

const formulas = (source: string): string[] => {
  const found: string[] = [];
  const walk = (tokens: readonly unknown[]): void => {
    for (const token of tokens as readonly (MathToken & { tokens?: unknown[] })[]) {
      if (token.type === 'math') found.push(`${token.display ? 'D' : 'I'}:${token.text}`);
      walk(token.tokens ?? []);
    }
  };
  walk(lexMarkdown(source, {}));
  return found;
};

describe('formulas', () => {
  it.each([
    ['so $x^2$ is', ['I:x^2']],
    ['$a$, $b$ and $c$', ['I:a', 'I:b', 'I:c']],
    ['**bold $x$**', ['I:x']],
    ['\\(a+b\\) and \\[c\\]', ['I:a+b', 'D:c']],
    ['$$\nx = 1\n$$', ['D:x = 1']],
    ['so:\n$$x$$\nthen', ['D:x']],
    ['\\[\n\\frac{1}{2}\n\\]', ['D:\\frac{1}{2}']],
    ['cost $\\$5$', ['I:\\$5']],
  ])('%j', (source, expected) => expect(formulas(source)).toEqual(expected));

  it.each([
    'It costs $5 and $10.',
    'between $5-$10 a day',
    'US$5 or CA$7',
    '$5 (or $6)',
    'only one $',
    '`$x$`',
    '$$',
    '$ x $',
    '$$\n\nmuch later\n\n$$',
    '\\$x\\$',
  ])('are not: %j', (source) => expect(formulas(source)).toEqual([]));
});

describe('text that goes on', () => {
  it.each([
    ['some **bo', 'some **bo**'],
    ['some **bold** and', 'some **bold** and'],
    ['some **bold*', 'some **bold**'],
    ['some **', 'some '],
    ['*it **bo', '*it **bo***'],
    ['***both', '***both***'],
    ['an `cod', 'an `cod`'],
    ['an `', 'an '],
    ['``a ` b', '``a ` b``'],
    ['**a `b', '**a `b`**'],
    ['~~go', '~~go~~'],
    ['snake_case_name', 'snake_case_name'],
    ['2 * 3', '2 * 3'],
    ['**bold ', '**bold** '],
    ['see [the page](https://exam', 'see the page'],
    ['see [the page](https://example.org)', 'see [the page](https://example.org)'],
    ['- one **a\n- two **b', '- one **a\n- two **b**'],
    ['Title\n-', 'Title\n'],
    ['```js\nlet a = **1', '```js\nlet a = **1'],
    ['```js\nlet a\n``', '```js\nlet a\n'],
    ['\\*not', '\\*not'],
  ])('%j is shown as %j', (source, expected) => expect(heal(source)).toBe(expected));
});

describe('addresses', () => {
  it.each(['https://example.org/a', 'http://localhost:8000/', 'mailto:a@example.org', 'HTTPS://Example.org'])(
    '%s is one',
    (href) => expect(safeUrl(href)).not.toBeNull(),
  );
  it.each([
    'java' + 'script:alert(1)',
    '/a',
    '//example.org',
    '#a',
    '',
    'data:text/html,x',
    'https://a@example.org',
    'ftp://example.org',
    'https://',
  ])('%j is none', (href) => expect(safeUrl(href)).toBeNull());
});

describe('small words', () => {
  it('resolves references, once', () => {
    expect(decodeEntities('a &lt;b&gt; &amp;lt; &#65;&#x42; &nope; &constructor; &#0; & c')).toBe(
      'a <b> &lt; AB &nope; &constructor; \ufffd & c',
    );
  });
  it('names languages, and no file by the model’s wish', () => {
    expect([languageName('py'), languageName(''), languageName('constructor')]).toEqual([
      'Python',
      'Code',
      'constructor',
    ]);
    expect([extensionOf('py'), extensionOf('exe'), extensionOf('__proto__')]).toEqual(['py', 'txt', 'txt']);
  });
});

describe('limits', () => {
  it('shows as written what is nested too deeply, or too long to look at', () => {
    for (const source of ['>'.repeat(5000) + 'a', '- '.repeat(500) + 'a', '1. '.repeat(40) + 'a'])
      expect(lexMarkdown(source, {}).map(({ type, raw }) => [type, raw])).toEqual([['paragraph', source]]);
    const long = '_a__b'.repeat(4000);
    expect(lexMarkdown(long, {})[0]).toMatchObject({ type: 'paragraph', tokens: [{ type: 'text', text: long }] });
    expect(lexMarkdown('> > > a', {})[0]?.type).toBe('blockquote');
  });
});
