/** What kind of thing a token is, by its text alone. */

export const TOKEN_TYPES = [
  'special',
  'newline',
  'space',
  'punctuation',
  'digits',
  'code',
  'function word',
  'capitalised',
  'content',
  'other script',
] as const;
export type TokenType = (typeof TOKEN_TYPES)[number];

/** English words that carry grammar rather than meaning: articles, pronouns, prepositions, conjunctions, auxiliaries. Other languages have none here. */
const FUNCTION_WORDS = new Set(
  (
    'a an the this that these those i you he she it we they me him her us them my your his its our their mine yours hers ours theirs ' +
    'myself yourself himself herself itself ourselves themselves who whom whose which what ' +
    'of in to for with on at by from up about into over after under above below between through during before against among upon off out down ' +
    'and or but nor so yet if because as while although though unless until since than whether when where why how ' +
    'is am are was were be been being have has had having do does did doing will would shall should can could may might must ' +
    'not no there here then too very just also each every all any some both either neither such only own same other'
  ).split(' '),
);

/** Letters of the Latin alphabet with their accents. */
const LATIN = /^\p{Script=Latin}+(?:['’]\p{Script=Latin}+)?$/u;

/**
 * The first that fits: special (`<|...|>` and the like), newline (white space with a line break), space, digits, punctuation (of prose), code (symbols
 * and names of programs: `{`, `==`, `snake_case`, `camelCase`), other script (letters that are not Latin), English function word, capitalised,
 * content. White space around a token does not count, except when there is nothing else.
 */
export function tokenType(text: string): TokenType {
  const word = text.trim();
  if (word === '') return /[\n\r]/.test(text) ? 'newline' : 'space';
  if (/^<[|｜]?[\w｜▁-]+[|｜]?>$|^\[[A-Z_]+\]$/.test(word)) return 'special';
  if (/^\p{N}+(?:[.,:]\p{N}+)*$/u.test(word)) return 'digits';
  if (/^[.,;:!?'"()…–—‘’“”«»¿¡、。，；：！？「」-]+$/u.test(word)) return 'punctuation';
  if (/^[\p{P}\p{S}]+$/u.test(word)) return 'code';
  if (/[{}[\]<>=\\_#$@^|~`]|\w\(|\w\.\w/.test(word) || /^\p{Ll}+\p{Lu}/u.test(word)) return 'code';
  if (/\p{L}/u.test(word) && !/\p{Script=Latin}/u.test(word)) return 'other script';
  if (FUNCTION_WORDS.has(word.toLowerCase().replace('’', "'"))) return 'function word';
  if (LATIN.test(word) && /^\p{Lu}/u.test(word)) return 'capitalised';
  return 'content';
}
