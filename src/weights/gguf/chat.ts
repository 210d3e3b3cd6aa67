/** What a GGUF file says about chatting: template, named tokens, end tokens; as tokenizer_config.json and generation_config.json have them. */
import type { JsonObject } from './architectures.ts';
import type { MetadataValue } from './values.ts';
import type { Vocabulary } from './vocabulary.ts';

/** End of a turn in published vocabularies, for files that name the end of a text only. llama.cpp ends at them, too. */
const TURN_ENDS = /* @__PURE__ */ new Set(
  `<|eot_id|> <|im_end|> <|end|> <end_of_turn> <|endoftext|> <|end_of_text|> <|eom_id|> <|return|> <|call|> <|user|> <|observation|>
  <EOT> _<EOT> [EOT] <｜end▁of▁sentence｜>`.split(/\s+/),
);

/** One template by its name, or several. */
function templates(metadata: ReadonlyMap<string, MetadataValue>): JsonObject[string] {
  const main = metadata.get('tokenizer.chat_template');
  const prefix = 'tokenizer.chat_template.';
  const others = [...metadata].filter(([key, value]) => key.startsWith(prefix) && typeof value === 'string');
  if (typeof main !== 'string') return null;
  if (others.length === 0) return main;
  const named = others.map(([key, template]) => ({ name: key.slice(prefix.length), template: template as string }));
  return [{ name: 'default', template: main }, ...named];
}

export function tokenizerConfig(vocabulary: Vocabulary, metadata: ReadonlyMap<string, MetadataValue>): JsonObject {
  const named = {
    bos_token: 'bos_token_id',
    eos_token: 'eos_token_id',
    unk_token: 'unknown_token_id',
    pad_token: 'padding_token_id',
  };
  const tokens = Object.entries(named).flatMap(([name, key]) => {
    const token = vocabulary.named(key);
    return token ? [[name, token.text] as const] : [];
  });
  return { ...Object.fromEntries(tokens), chat_template: templates(metadata), clean_up_tokenization_spaces: false };
}

/** Wishes about sampling, by the names that generation_config.json gives them. */
const SAMPLING: readonly (readonly [string, string])[] = [
  ['temp', 'temperature'],
  ['top_k', 'top_k'],
  ['top_p', 'top_p'],
  ['min_p', 'min_p'],
  ['penalty_repeat', 'repetition_penalty'],
];

export function generationConfig(vocabulary: Vocabulary, metadata: ReadonlyMap<string, MetadataValue>): JsonObject {
  const wishes = SAMPLING.flatMap(([key, name]) => {
    const value = metadata.get(`general.sampling.${key}`);
    return typeof value === 'number' ? [[name, value] as const] : [];
  });
  const ends = endTokenIds(vocabulary);
  return {
    ...(ends.length > 0 && { eos_token_id: ends }),
    ...(wishes.some(([name]) => name === 'temperature') && { do_sample: true }),
    ...Object.fromEntries(wishes),
  };
}

/**
 * Ids that end an answer: those that the file names, and control tokens that end a turn. In Harmony `<|end|>` ends a message of several: where its
 * `<|return|>` and `<|call|>` are, it ends no answer.
 */
export function endTokenIds(vocabulary: Vocabulary): number[] {
  const named = ['eos_token_id', 'eot_token_id', 'eom_token_id'].flatMap((key) => vocabulary.named(key)?.id ?? []);
  const controls = vocabulary.tokens.filter((t) => t.type === 'control' && TURN_ENDS.has(t.text));
  const texts = new Set(controls.map((t) => t.text));
  const isHarmony = texts.has('<|return|>') && texts.has('<|call|>');
  const turns = controls.filter((t) => !(isHarmony && t.text === '<|end|>'));
  return [...new Set([...named, ...turns.map((t) => t.id)])];
}
