/** What a request says of languages to a model that translates: its text begins with the code of one, the answer with the code of the other. */
import type { GenerationDefaults } from '../config/load.ts';
import type { ModelConfig } from '../config/model-config.ts';
import { InvalidRequest } from '../errors.ts';
import type { GenerateOptions } from './generation.ts';
import { isChat, type ModelText, type Prompt } from './text.ts';

/** As NLLB writes them, `deu_Latn`, and M2M-100, `__de__`. */
const CODE = /^(?:[a-z]{3}_[A-Z][a-z]{3}|__[a-z]{2,3}__)$/;
const SHOWN = 5;

export interface TranslatingModel {
  readonly text: ModelText | null;
  readonly config: ModelConfig;
  readonly generation: GenerationDefaults;
  readonly endTokens: readonly number[];
}

type Languages = Pick<GenerateOptions, 'sourceLanguage' | 'targetLanguage'>;
type Codes = ReadonlyMap<string, number>;

/** Ids of the codes that the tokenizer has; none: the model does not translate by them. */
function codesOf({ text, config }: TranslatingModel): Codes {
  const tokens = config.encoder && text ? text.tokenizer.addedTokens : [];
  const codes = tokens.filter(({ special, content }) => special && CODE.test(content));
  return new Map(codes.map(({ content, id }) => [content, id]));
}

function refuse(option: keyof Languages, codes: Codes, found: unknown): never {
  const languages = [...codes.keys()].sort();
  const more = languages.length > SHOWN ? ` and ${languages.length - SHOWN} more (details.languages)` : '';
  const wanted = languages.length
    ? `one of the codes of the tokenizer, ${languages.slice(0, SHOWN).join(', ')}${more}`
    : 'left out: this model has no codes of languages in its tokenizer';
  const got = found === undefined ? 'nothing' : JSON.stringify(found).slice(0, 80);
  throw new InvalidRequest(`${option} must be ${wanted}, got ${got}`, { option, languages });
}

/**
 * @returns a text as the encoder takes it: its language's code, the text, an end token; null where that is as for any model
 * @throws InvalidRequest for a language without a code, for one of token ids, which have theirs among them, and for messages
 */
export function sourceIds(prompt: Prompt, { sourceLanguage }: Languages, model: TranslatingModel): number[] | null {
  if (isChat(prompt) && model.config.encoder && !model.text?.template)
    throw new InvalidRequest(
      'This model has an encoder, which reads one text, and no chat template: it does not chat. Give the prompt as text',
      { family: model.config.family },
    );
  const codes = codesOf(model);
  const tokenizer = model.text?.tokenizer;
  if (typeof prompt !== 'string' || !tokenizer) {
    if (sourceLanguage === undefined) return null;
    throw new InvalidRequest('sourceLanguage is for a prompt of text: token ids have the code among them', {
      option: 'sourceLanguage',
    });
  }
  const known = new Set(codes.values());
  // Some tokenizers put the code behind the text, as transformers did at first, by mistake: models were trained with it in front.
  const affixed = tokenizer.encode('', { affixes: true }).find((id) => known.has(id));
  const code =
    sourceLanguage === undefined
      ? affixed
      : (codes.get(sourceLanguage) ?? refuse('sourceLanguage', codes, sourceLanguage));
  return code === undefined ? null : [code, ...tokenizer.encode(prompt), ...model.endTokens.slice(0, 1)];
}

/**
 * @returns tokens that the answer begins with, whatever the model would draw
 * @throws InvalidRequest for a language without a code, and where the model needs one
 */
export function firstTokens({ targetLanguage: target }: Languages, model: TranslatingModel): readonly number[] {
  const { encoder, vocab } = model.config;
  const codes = codesOf(model);
  const isId = typeof target === 'number' && encoder && Number.isInteger(target) && target >= 0 && target < vocab;
  if (target !== undefined)
    return [isId ? target : (codes.get(String(target)) ?? refuse('targetLanguage', codes, target))];
  const first = model.generation.firstToken ?? encoder?.firstToken;
  if (encoder && first !== undefined && first < vocab) return [first];
  return codes.size > 0 ? refuse('targetLanguage', codes, undefined) : [];
}
