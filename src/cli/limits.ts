/** Options of `webmoe run` that limit what may be drawn. */
import { readFileSync } from 'node:fs';
import type { GenerateOptions } from '../engine/generation.ts';
import { InvalidRequest } from '../errors.ts';
import type { JsonSchema } from '../text/grammar/index.ts';
import type { OptionSpec, Options } from './args.ts';

export const LIMIT_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  'logit-bias': { type: 'text', value: 'ID:BIAS,..', help: 'raise logits; -100 bans a token, 100 forces it' },
  'json-schema': { type: 'text', value: 'FILE', help: 'answer in JSON that this schema validates' },
};

function readBias(text: string): Record<number, number> {
  const bias: Record<number, number> = {};
  for (const part of text.split(',')) {
    const [, id, value] = /^\s*(\d+)\s*:\s*([-+]?\d+(?:\.\d+)?)\s*$/.exec(part) ?? [];
    if (id === undefined)
      throw new InvalidRequest(`--logit-bias must be as in 42:-100,7:2.5, got ${part}`, { option: 'logit-bias' });
    bias[Number(id)] = Number(value);
  }
  return bias;
}

function readSchema(path: string): JsonSchema {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as JsonSchema;
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new InvalidRequest(`--json-schema ${path}: ${message}`, { option: 'json-schema', path }, { cause });
  }
}

/** @throws InvalidRequest with one line that says what is wrong */
export function limitOptions(options: Options): Pick<GenerateOptions, 'logitBias' | 'constraint'> {
  const bias = options.text('logit-bias');
  const schema = options.text('json-schema');
  return {
    ...(bias === undefined ? {} : { logitBias: readBias(bias) }),
    ...(schema === undefined ? {} : { constraint: { schema: readSchema(schema) } }),
  };
}
