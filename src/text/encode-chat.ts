/** A chat as token ids, in which nobody can forge a turn. */
import { InvalidRequest } from '../errors.ts';
import type { Span } from './added-tokens.ts';
import type { ChatMessage, ChatTemplate, Piece, RenderOptions } from './chat-template.ts';
import type { Tokenizer } from './tokenizer.ts';

export interface EncodeChatOptions extends RenderOptions {
  /** The last message is the start of an answer, to be gone on with: see `GenerateOptions.continueFinal`. */
  readonly continueFinal?: boolean | undefined;
}

/**
 * The start of an answer as the model saw it while it wrote: after the template's generation prompt, unchanged. The template's own rendering of
 * a finished answer may trim it or take its reasoning out.
 */
function openAnswer(template: ChatTemplate, messages: readonly ChatMessage[], options: RenderOptions): Piece[] {
  const last = messages.at(-1);
  if (last?.role !== 'assistant' || typeof last.content !== 'string' || !last.content)
    throw new InvalidRequest('continueFinal goes on with the last message: it must be an assistant message with text', {
      message: messages.length - 1,
    });
  const before = template.render(messages.slice(0, -1), { ...options, addGenerationPrompt: true });
  return [...before, { text: last.content, user: true }];
}

/**
 * Renders and encodes. An added token (`<|im_end|>`, `<think>`) becomes its id only where the template wrote all of it: in a message it is
 * ordinary text. Chats without such text get exactly the ids that transformers gives them.
 * @throws what `ChatTemplate.render` throws; InvalidRequest when there is no answer to continue
 */
export function encodeChat(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  options: EncodeChatOptions = {},
): Uint32Array {
  const { continueFinal, ...render } = options;
  const pieces = continueFinal ? openAnswer(template, messages, render) : template.render(messages, render);
  const literal: Span[] = [];
  let text = '';
  for (const piece of pieces) {
    const start = text.length;
    text += piece.text;
    if (piece.user) literal.push({ start, end: text.length });
  }
  return Uint32Array.from(tokenizer.encode(text, { literal }));
}
