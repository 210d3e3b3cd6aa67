/** Output that keeps to a constraint: literal text, JSON, a JSON Schema, and combinations of them. */
export type { Constraint, JsonSchema, MaskOptions, TokenMask } from './constraint.ts';
export { createTokenMask } from './token-mask.ts';
export { prepareVocabulary, type Vocabulary } from './vocabulary.ts';
