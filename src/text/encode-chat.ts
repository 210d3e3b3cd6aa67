/** A chat as token ids, in which nobody can forge a turn. */
import type { Span } from './added-tokens.ts';
import type { ChatMessage, ChatTemplate, RenderOptions } from './chat-template.ts';
import type { Tokenizer } from './tokenizer.ts';

/**
 * Renders and encodes. An added token (`<|im_end|>`, `<think>`) becomes its id only where the template wrote all of it: in a message it is
 * ordinary text. Chats without such text get exactly the ids that transformers gives them.
 * @throws what `ChatTemplate.render` throws
 */
export function encodeChat(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  options: RenderOptions = {},
): Uint32Array {
  const pieces = template.render(messages, options);
  const literal: Span[] = [];
  let text = '';
  for (const piece of pieces) {
    const start = text.length;
    text += piece.text;
    if (piece.user) literal.push({ start, end: text.length });
  }
  return Uint32Array.from(tokenizer.encode(text, { literal }));
}
