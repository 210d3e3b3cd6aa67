// Shorter names and fewer spaces in the shaders of the published files; lines keep their numbers, for compilers' messages.
// test/unit/scripts/minify-wgsl.test.ts shows that nothing else changes; npm test runs the kernels with them.
import { shaderModule, shaderTexts } from './wgsl.mjs';

/** For Rolldown and Vite: builds have these shaders, Vite's development server does not. */
export const minifiedShaders = {
  name: 'minified-shaders',
  apply: 'build',
  load: (id) => shaderModule(id, () => minifyShaders(shaderTexts())),
};

const WORD = /\.?\b[A-Za-z_]\w*/g;
const NAME = /^[A-Za-z_]/;
const DIRECTIVE = /^\s*#/;
/** What others know by name: constants that programs give and buffers that they bind, extensions of the language. */
const OUTSIDE = [/^\s*override\s+(\w+)/, /@group.*\s(\w+)\s*:/, /^enable\s+(\w+)/];
/** WGSL's keywords of one and two letters. */
const KEYWORDS = ['as', 'do', 'fn', 'if', 'of'];
const LETTERS = [...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'];

/** Renames in all shaders at once, so that an imported name stays that of its declaration. @param texts by path, without comments */
export function minifyShaders(texts) {
  const prefixes = prefixesOf(texts);
  const names = shortNames(texts, prefixes);
  const shortOf = (word) => {
    const prefix = prefixes.find((p) => word.startsWith(p) && names.has(word.slice(p.length)));
    return prefix ? prefix + names.get(word.slice(prefix.length)) : (names.get(word) ?? word);
  };
  const rename = (line) => line.replace(WORD, shortOf);
  const shorten = (line) => (DIRECTIVE.test(line) ? line.trim() : withoutSpaces(rename(line)));
  return Object.fromEntries(
    Object.entries(texts).map(([path, text]) => [path, text.split('\n').map(shorten).join('\n')]),
  );
}

/** A space stays between words, and between operators, which could become another one. */
const SPACE = /((?<=\w) (?=\w)|(?<=[-+*/%&|^!=<>~]) (?=[-+*/%&|^!=<>~]))| /g;
const withoutSpaces = (line) => line.trim().replace(/\s+/g, ' ').replace(SPACE, '$1');

/** Of `#import name as p_`: the preprocessor puts them before the names that it finds there, short ones here. */
const prefixesOf = (texts) => [
  ...new Set(
    Object.values(texts).flatMap((text) =>
      [...text.matchAll(/^\s*#import \S+ as (\w+)/gm)].map(([, prefix]) => prefix),
    ),
  ),
];

/** @returns for every name that only shaders know a short one, the shortest for the most frequent */
function shortNames(texts, prefixes) {
  const lines = Object.values(texts).flatMap((text) => text.split('\n').filter((line) => !DIRECTIVE.test(line)));
  const tokens = lines.flatMap((line) => line.match(/\.?\b[A-Za-z_]\w*|[^\w\s]/g) ?? []);
  const counts = new Map();
  for (const token of tokens) if (NAME.test(token)) counts.set(token, (counts.get(token) ?? 0) + 1);
  const kept = new Set(Object.keys(texts).map((path) => path.slice(path.lastIndexOf('/') + 1))); // entry points
  for (const line of lines) for (const pattern of OUTSIDE) kept.add(pattern.exec(line)?.[1]);
  for (const name of [...members(tokens), ...predeclared(tokens)]) kept.add(name);
  const own = [...new Set(declared(tokens))].filter(
    (name) => !kept.has(name) && !prefixes.some((p) => name.startsWith(p)),
  );
  const foreign = [...counts.keys()].filter((name) => !own.includes(name));
  const fresh = freshNames(new Set([...foreign, ...KEYWORDS]));
  return new Map(own.sort((a, b) => counts.get(b) - counts.get(a)).map((name) => [name, fresh.next().value]));
}

/** Names after fn, let, const, var and struct, and those of parameters. */
function* declared(tokens) {
  for (const [i, token] of tokens.entries()) {
    if (['fn', 'let', 'const', 'struct'].includes(token)) yield tokens[i + 1];
    if (token === 'var') yield tokens[tokens[i + 1] === '<' ? tokens.indexOf('>', i) + 1 : i + 1];
    if (token === 'fn') yield* annotated(tokens, i + 2, ')');
  }
}

/** Members stay as they are: after a point nothing says whether a word is one of them or a vector's component. */
function* members(tokens) {
  for (const [i, token] of tokens.entries()) if (token === 'struct') yield* annotated(tokens, i + 2, '}');
}

/** What the language itself knows where a declaration may have the same name: attributes and their values, address spaces, functions. */
function* predeclared(tokens) {
  const called = new Set(tokens.filter((_, i) => tokens[i - 1] === 'fn' || tokens[i - 1] === 'struct'));
  for (const [i, token] of tokens.entries()) {
    if (token === '@') yield* tokens.slice(i + 1, i + 4);
    if (token === 'var' && tokens[i + 1] === '<') yield* tokens.slice(i + 2, i + 5);
    if (tokens[i + 1] === '(' && !called.has(token)) yield token;
  }
}

/** Names before a colon in a bracket; `end` is not in between, but for an attribute's, as in @builtin(position). */
function* annotated(tokens, open, end) {
  for (let i = open + 1, depth = 1; depth > 0; i++) {
    if (i >= tokens.length) throw new Error(`${tokens[open - 1]}: no ${end}`);
    if (tokens[i] === tokens[open]) depth++;
    else if (tokens[i] === end) depth--;
    else if (tokens[i] === ':') yield tokens[i - 1];
  }
}

function* freshNames(taken) {
  for (const first of ['', ...LETTERS]) for (const last of LETTERS) if (!taken.has(first + last)) yield first + last;
  throw new Error('the shaders have more names than two letters make');
}
