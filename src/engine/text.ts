/** The text side of a model: tokenizer, template, end tokens; null where the checkpoint has none. */
import { InvalidRequest, UnsupportedModel } from '../errors.ts';
import { loadChatTemplate, type ChatMessage, type ChatTemplate } from '../text/chat-template.ts';
import { encodeChat } from '../text/encode-chat.ts';
import { readTokenizerConfig } from '../text/tokenizer-config.ts';
import { loadTokenizer, type Tokenizer } from '../text/tokenizer.ts';
import type { ByteSource } from '../weights/source.ts';
import type { GenerateOptions } from './generation.ts';
import { readText } from './open.ts';

export interface ModelText {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate | null;
  /** What the tokenizer calls its end token, as text; config files that name end tokens come first. */
  readonly endToken: string | null;
}

/**
 * @param vocab rows of the embedding: a tokenizer with ids beyond them is refused
 * @returns null when there is no tokenizer.json: such a model takes and gives token ids only
 */
export async function loadText(source: ByteSource, vocab: number, signal?: AbortSignal): Promise<ModelText | null> {
  const [tokenizerJson, tokenizerConfig, jinja] = await Promise.all([
    readText(source, 'tokenizer.json', signal),
    readText(source, 'tokenizer_config.json', signal),
    readText(source, 'chat_template.jinja', signal),
  ]);
  if (tokenizerJson === null) return null;
  return {
    tokenizer: loadTokenizer(tokenizerJson, tokenizerConfig, vocab),
    template: loadChatTemplate(jinja, tokenizerConfig),
    endToken: readTokenizerConfig(tokenizerConfig).namedTokens.eos_token ?? null,
  };
}

/** A prompt as text (with the tokenizer's own prefix, such as `<s>`), as a chat, or as token ids. */
export type Prompt = string | readonly ChatMessage[] | { readonly ids: readonly number[] };

export const isChat = (prompt: Prompt): prompt is readonly ChatMessage[] => Array.isArray(prompt);

/** @throws InvalidRequest when the prompt needs a tokenizer or template that the model does not have, or has no answer to continue */
export function promptIds(
  prompt: Prompt,
  text: ModelText | null,
  { template, continueFinal }: Pick<GenerateOptions, 'template' | 'continueFinal'> = {},
): number[] {
  if (continueFinal && !isChat(prompt))
    throw new InvalidRequest('continueFinal needs a chat: text and token ids are gone on with as they are', {});
  if (typeof prompt === 'object' && 'ids' in prompt) return [...prompt.ids];
  if (!text) throw new InvalidRequest('This model has no tokenizer.json: give the prompt as token ids', {});
  if (typeof prompt === 'string') return [...text.tokenizer.encode(prompt, { affixes: true })];
  if (!text.template) throw new InvalidRequest('This model has no chat template: give the prompt as text', {});
  return [
    ...encodeChat(text.tokenizer, text.template, prompt, {
      continueFinal,
      ...(template && { variables: template }),
    }),
  ];
}

const TAIL = 64;

/** How the text of a prompt ends, special tokens included: 64 characters at most, which takes no more ids than that. */
export const promptTail = (ids: readonly number[], text: ModelText): string =>
  text.tokenizer.decode(ids.slice(-TAIL)).slice(-TAIL);

/** What each id reads as, special tokens included; the pieces join to their text, up to a character that is not complete at the end. */
export function piecesOf(ids: Iterable<number>, { tokenizer }: ModelText): string[] {
  const stream = tokenizer.stream({ skipSpecial: false, verbatim: true });
  return Array.from(ids, (id) => stream.push(id));
}

const NO_BYTES = new Uint8Array();

/** What a token stands for in running text; empty for control tokens, ids without a token, and where the tokenizer gives tokens no bytes of their own. */
export function bytesOf(text: ModelText | null, id: number): Uint8Array {
  try {
    return text?.tokenizer.idToBytes(id) ?? NO_BYTES;
  } catch (error) {
    if (error instanceof UnsupportedModel) return NO_BYTES;
    throw error;
  }
}
