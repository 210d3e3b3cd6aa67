/** What output may be, as plain data that can be cloned to a worker, and what holds a model to it while it generates. */

/** JSON Schema: the subset that docs/constrained.md lists. */
export type JsonSchema = boolean | { readonly [keyword: string]: unknown };

/**
 * A string is literal text, in which the content of an added token (`<tool_call>`) means that token. `schema` is JSON text that the schema
 * validates; `json` is any JSON text, or any object's. `sequence` is one after the other, `anyOf` one of them.
 */
export type Constraint =
  | string
  | { readonly schema: JsonSchema }
  | { readonly json: 'object' | 'value' }
  | { readonly sequence: readonly Constraint[] }
  | { readonly anyOf: readonly Constraint[] };

export interface TokenMask {
  /** [ceil(V / 32)] bit id % 32 of word id / 32 is 1 when the token may come next. Shared with other masks: to be read only, and anew after `accept`. */
  readonly bits: Uint32Array;
  /** Nothing may follow but an end token. */
  readonly isDone: boolean;
  /** The text so far is complete; where it is not done it may also go on (`12` after `1`). */
  readonly mayEnd: boolean;
  /** So many tokens are enough to complete the text; 0 where it may end. */
  readonly closingCost: number;
  /** @param id of a token that `bits` allows; an end token finishes the mask, and no token is allowed any more */
  accept(id: number): void;
}

export interface MaskOptions {
  /** The text is complete after at most so many tokens, the end token not counted. */
  readonly maxTokens?: number;
}
