/** Published shaders have shorter names and fewer spaces, and nothing else is changed: their tokens are those of the sources, name for name. */
import { expect, it } from 'vitest';
import { minifyShaders } from '../../../scripts/minify-wgsl.mjs';
import { expandShader } from '../../../src/gpu/shader.ts';
import { layerShaderText } from '../../../src/gpu/layer-shaders.gen.ts';
import { shaderText as modelShaderText } from '../../../src/gpu/shaders.gen.ts';

const shaderText = { ...modelShaderText, ...layerShaderText };

/** As WGSL cuts a text, but for `>`, which may close templates. */
const TOKEN =
  /#.*|[A-Za-z_]\w*|(?:0[xX][\da-fA-F.]+(?:[pP][+-]?\d+)?|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)[iufh]?|->|<<=|>>=|<<|&&|\|\||\+\+|--|[-+*/%&|^!=<>]=|\S/g;
const tokens = (text: string): string[] => text.match(TOKEN) ?? [];
const isName = (token: string): boolean => /^[A-Za-z_]/.test(token);

const short = minifyShaders(shaderText);

/** @returns what each name became @throws if one name became two, or two one, or another token changed */
function namesOf(texts: Readonly<Record<string, string>>): Map<string, string> {
  const names = new Map<string, string>();
  const back = new Map<string, string>();
  for (const [path, text] of Object.entries(shaderText)) {
    const [before, after] = [tokens(text), tokens(texts[path]!)];
    if (after.length !== before.length) throw new Error(`${path}: ${after.length} tokens, not ${before.length}`);
    for (const [i, token] of before.entries()) {
      const now = after[i]!;
      const mayChange = isName(token) && before[i - 1] !== '.';
      const was = names.get(token) ?? now;
      if (mayChange ? was !== now || (back.get(now) ?? token) !== token : now !== token)
        throw new Error(`${path}: ${token} became ${now}, not ${was}`);
      if (!mayChange) continue;
      back.set(now, token);
      names.set(token, now);
    }
  }
  return names;
}

it('every token of every shader is the source’s, with one new name for each old one', () => {
  const names = namesOf(short);
  const changed = [...names].filter(([before, after]) => before !== after);
  expect(changed.length).toBeGreaterThan(300);
  const length = (texts: Readonly<Record<string, string>>): number => Object.values(texts).join('').length;
  expect(length(short) / length(shaderText)).toBeLessThan(0.73);
});

it('keeps names that the language or a program knows', () => {
  const names = namesOf(short);
  const known =
    'workgroup private storage read read_write builtin workgroup_id subgroups off u_step tokens D TOP_K WG route sample main';
  for (const name of known.split(' ')) expect(names.get(name) ?? name).toBe(name);
});

it('lines keep their numbers', () => {
  for (const [path, text] of Object.entries(shaderText))
    expect(short[path]!.split('\n').length, path).toBe(text.split('\n').length);
});

it('the preprocessor reads them', () => {
  const constants = { D: 8, X_ROW: 8, X_AT: 0, EPS: 1e-5, GROUPS: 1, RESIDUAL: false, SUBGROUPS: false, TOTAL: false };
  const expand = (sources: Readonly<Record<string, string>>) => expandShader('norm/rms_norm', constants, {}, sources);
  expect(expand(short).bindings).toEqual(expand(shaderText).bindings);
  expect(expand(short).origin).toEqual(expand(shaderText).origin);
});

it.each([
  ['a name that was taken', (text: string) => text.replace('fn ', 'fn x')],
  ['operators that met', (text: string) => text.replace('= -', '=-').replace('- -', '--').replace('1.0', '2.0')],
])('%s would show', (_, damage) => {
  const damaged = { ...short, 'moe/route_scores': damage(short['moe/route_scores']!) };
  expect(() => namesOf(damaged)).toThrow();
});
