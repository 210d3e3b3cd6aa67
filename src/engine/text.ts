/** The text side of a model: tokenizer, template, end tokens; null where the checkpoint has none. */
import { InvalidRequest } from '../errors.ts';
import { loadChatTemplate, type ChatMessage, type ChatTemplate } from '../text/chat-template.ts';
import { encodeChat } from '../text/encode-chat.ts';
import { readTokenizerConfig } from '../text/tokenizer-config.ts';
import { loadTokenizer, type Tokenizer } from '../text/tokenizer.ts';
import type { ByteSource } from '../weights/source.ts';
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

/** @throws InvalidRequest when the prompt needs a tokenizer or template that the model does not have, or has no answer to continue */
export function promptIds(
  prompt: Prompt,
  text: ModelText | null,
  options: { readonly continueFinal?: boolean | undefined } = {},
): number[] {
  const isChat = typeof prompt === 'object' && !('ids' in prompt);
  if (options.continueFinal && !isChat)
    throw new InvalidRequest('continueFinal needs a chat: text and token ids are gone on with as they are', {});
  if (typeof prompt === 'object' && 'ids' in prompt) return [...prompt.ids];
  if (!text) throw new InvalidRequest('This model has no tokenizer.json: give the prompt as token ids', {});
  if (typeof prompt === 'string') return [...text.tokenizer.encode(prompt, { affixes: true })];
  if (!text.template) throw new InvalidRequest('This model has no chat template: give the prompt as text', {});
  return [...encodeChat(text.tokenizer, text.template, prompt, { continueFinal: options.continueFinal })];
}
