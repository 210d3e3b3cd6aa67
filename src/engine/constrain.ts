/** What a request may draw, token by token: its bias and its constraint, over the model's own vocabulary. */
import { InvalidRequest } from '../errors.ts';
import {
  createTokenMask,
  prepareVocabulary,
  type Constraint,
  type TokenMask,
  type Vocabulary,
} from '../text/grammar/index.ts';
import type { GenerateOptions } from './generation.ts';
import type { ModelText } from './text.ts';
import { TokenLimits } from './token-limits.ts';

export interface ConstrainedModel {
  readonly text: ModelText | null;
  readonly endTokens: readonly number[];
  /** V, rows of the logits. */
  readonly vocab: number;
  /** Tokens that come first, whatever else holds. Default: none. */
  readonly first?: readonly number[];
}

/** Sorting a vocabulary takes a moment: once a model. */
const vocabularies = new WeakMap<ModelText, Vocabulary>();

function vocabularyOf({ text, endTokens, vocab }: ConstrainedModel): Vocabulary {
  if (!text) throw new InvalidRequest('This model has no tokenizer.json: its answers cannot be constrained', {});
  const known = vocabularies.get(text) ?? prepareVocabulary(text.tokenizer, endTokens, vocab);
  vocabularies.set(text, known);
  return known;
}

function maskFor(constraint: Constraint, model: ConstrainedModel, maxTokens: number): TokenMask {
  const mask = createTokenMask(constraint, vocabularyOf(model), { maxTokens });
  if (mask.isDone) throw new InvalidRequest('The constraint allows nothing but an empty answer', {});
  return mask;
}

/**
 * @param maxTokens a constrained answer is steered to be complete after so many
 * @throws InvalidRequest for a bias, a number of log-probabilities or a constraint that cannot be obeyed; UnsupportedModel where the tokenizer gives
 * tokens no bytes of their own
 */
export function limitsOf(options: GenerateOptions, model: ConstrainedModel, maxTokens: number): TokenLimits {
  const { vocab, first = [], endTokens } = model;
  if (options.constraint === undefined) return new TokenLimits(options, vocab, null, [], first);
  const mask = maskFor(options.constraint, model, Math.max(1, maxTokens - first.length));
  return new TokenLimits(options, vocab, mask, options.ignoreEnd ? endTokens : [], first);
}
