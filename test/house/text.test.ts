import { describe, expect, it } from 'vitest';
import { trackedText, type TextFile } from './files.ts';

/** Data and other people's words. */
const EXEMPT = /^(models\/|test\/(fixtures|golden)\/|package-lock\.json$|LICENSE$)/;

interface Rule {
  readonly what: string;
  readonly files: RegExp;
  readonly pattern: RegExp;
  /** Text that it must catch; in pieces, so that this file passes its own rules. */
  readonly bad: readonly string[];
  /** Text that it must let pass. */
  readonly good: readonly string[];
}

const anything = /./;
const code = /\.(ts|mjs|js)$/;

const rules: readonly Rule[] = [
  {
    what: 'paths of somebody’s machine',
    files: anything,
    pattern: /(?<![\w.*~)}\]-])\/(?:work|root|tmp|home|Users)\/\w/,
    bad: [`open('/${'work'}/main/x')`, `see /${'root'}/x`, `join(/${'tmp'}/y)`, `/${'home'}/me/x`],
    good: ['join(tmpdir(), name)', 'https://example.org/work/main', './work/x', 'src/root/x.ts'],
  },
  {
    what: 'notes to self',
    files: anything,
    pattern: /\b(?:TO[D]O|FIX[M]E|XX[X]|HA[C]K)\b/,
    bad: ['TO' + 'DO: later', '// FIX' + 'ME'],
    good: ['what to do about it', 'todo'],
  },
  {
    what: 'the type that checks nothing',
    files: /\.ts$/,
    pattern: /(?::|\bas|<|\|)\s*any\s*(?:[;,)=|&\]}>[]|$)/m,
    bad: ['let x: ' + 'any;', 'f(x as ' + 'any)', 'Array<' + 'any>', 'function f(): ' + 'any {}'.trimEnd().slice(0, 3)],
    good: [`it('int4: any code', f)`, '// as any caller would', 'Promise.any(x)'],
  },
  {
    what: 'a silenced check',
    files: /\.(ts|mjs|js|wgsl|json|html|yml|yaml)$/,
    pattern: /eslint-dis[a]ble|@ts-(?:igno[r]e|expect-er[r]or|noch[e]ck)|prettier-igno[r]e/,
    bad: [
      '// eslint-' + 'disable-next-line',
      '/* @ts-' + 'ignore */',
      '// @ts-' + 'expect-error',
      '// @ts-' + 'nocheck',
    ],
    good: ['// the linter agrees'],
  },
  {
    what: 'a test that does not run, or that keeps others from running',
    files: /\.test\.ts$/,
    pattern: /\b(?:it|test|describe)\s*\.\s*(?:skip|only|todo|fails)\b/,
    bad: ['it' + '.skip(x)', 'describe' + '.only(x)', 'test' + '.todo(x)'],
    good: ['it.each(x)', 'it.skipIf(FAST)(x)'],
  },
  {
    what: 'a debugger stop',
    files: code,
    pattern: /^\s*debu[g]ger\b/m,
    bad: ['  debug' + 'ger;'],
    good: ['// a debug' + 'ger helps'],
  },
];

const lineOf = (text: string, index: number): number => text.slice(0, index).split('\n').length;

const breaches = (rule: Rule, { path, text }: TextFile): string[] => {
  if (!rule.files.test(path)) return [];
  const hit = rule.pattern.exec(text);
  return hit ? [`${path}:${lineOf(text, hit.index)}: ${hit[0].trim()}`] : [];
};

describe('text of the repository', () => {
  const files = trackedText().filter(({ path }) => !EXEMPT.test(path));

  it('is all looked at', () => {
    expect(files.length).toBeGreaterThan(40);
    expect(files.map((f) => f.path)).toContain('src/errors.ts');
  });

  it.each(rules)('has no $what', (rule) => {
    const path = 'src/sample.test.ts';
    for (const text of rule.bad) expect(breaches(rule, { path, text }), `must catch: ${text}`).toHaveLength(1);
    for (const text of rule.good) expect(breaches(rule, { path, text }), `must let pass: ${text}`).toEqual([]);
    expect(files.flatMap((file) => breaches(rule, file))).toEqual([]);
  });
});
