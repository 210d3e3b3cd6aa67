/** What an answer must look like: plain data, so that it can be cloned to a worker. */

export type JsonSchema = boolean | { readonly [keyword: string]: unknown };

/** A string stands for itself. */
export type Constraint =
  | string
  | { readonly schema: JsonSchema }
  | { readonly json: 'object' | 'value' }
  | { readonly sequence: readonly Constraint[] }
  | { readonly anyOf: readonly Constraint[] };
