/**
 * `tokenizer.ggml.pre`: how text is cut before byte pairs are merged. The expressions are those of the published tokenizers that llama.cpp means by
 * these names; one after the other, each cuts what the ones before left, and what it does not match stays a piece.
 */

export interface PreTokenizer {
  readonly patterns: readonly string[];
  /** A piece that is a token by itself is taken whole. */
  readonly ignoreMerges?: boolean;
  /** Text begins with the begin token, unless the file says otherwise. */
  readonly addBegin?: boolean;
}

const CONTRACTIONS = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
const BLANKS = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

/** GPT-2: contractions, letters, digits, other characters, each with the blank before it. */
const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** cl100k and its kin; `digits` is how many of them stay together. */
const words = (digits: string): string =>
  `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${BLANKS}`;

/** o200k: words end where capitals begin. */
const cased = (contractions: string, digits: string): string => {
  const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
  const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
  const lead = '[^\\r\\n\\p{L}\\p{N}]?';
  return [
    `${lead}${upper}*${lower}+${contractions}`,
    `${lead}${upper}+${lower}*${contractions}`,
    `\\p{N}${digits}`,
    ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*',
    BLANKS,
  ].join('|');
};

const DEEPSEEK_V3 = [
  '\\p{N}{1,3}',
  '[一-龥぀-ゟ゠-ヿ]+',
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|' +
    BLANKS,
];

/** Of DeepSeek-V2 and its coder; letters are those that have case, but for Georgian's and those of formulas. */
const DEEPSEEK_LLM = [
  '[\\r\\n]',
  '\\s?(?:(?![ა-ჿ\\u{1d400}-\\u{1d7ff}])[\\p{Lu}\\p{Ll}\\p{Lt}])+',
  '\\s?[!-/:-~！-／：-～‘-‟\\u3000-。]+',
  '\\s+$',
  '[一-龥ࠀ-一가-퟿]+',
  '\\p{N}+',
];
const DEEPSEEK_CODER = ['[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', '[一-龥ࠀ-一가-퟿]+', '\\p{N}'];

const DIGIT_BY_DIGIT = ['\\p{N}', GPT2];

type Named = readonly [names: string, rule: PreTokenizer];

const RULES: readonly Named[] = [
  ['gpt-2 phi-2 mpt olmo jais gigachat exaone4 trillion granite-docling mellum modern-bert', { patterns: [GPT2] }],
  ['smollm starcoder refact command-r codeshell exaone minerva-7b', { patterns: DIGIT_BY_DIGIT }],
  [
    'llama3 llama-v3 llama-bpe falcon3 pixtral lfm2',
    { patterns: [words('{1,3}')], ignoreMerges: true, addBegin: true },
  ],
  ['dbrx smaug-bpe glm4 chatglm-bpe', { patterns: [words('{1,3}')] }],
  ['qwen2 deepseek-r1-qwen stablelm2 megrez hunyuan grok-2 solar-open', { patterns: [words('')] }],
  ['deepseek-llm', { patterns: DEEPSEEK_LLM }],
  ['deepseek-coder', { patterns: DEEPSEEK_CODER }],
  ['deepseek-v3 hunyuan-dense joyai-llm', { patterns: DEEPSEEK_V3 }],
  ['gpt-4o llama4 kanana2 minimax-m2', { patterns: [cased(`${CONTRACTIONS}?`, '{1,3}')] }],
  ['tekken', { patterns: [cased('', '')], ignoreMerges: true, addBegin: true }],
];

export const PRE_TOKENIZERS: ReadonlyMap<string, PreTokenizer> = /* @__PURE__ */ new Map(
  RULES.flatMap(([names, rule]) => names.split(' ').map((name): [string, PreTokenizer] => [name, rule])),
);
