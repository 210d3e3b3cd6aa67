/** A checkpoint's chat template: messages to text, with each character's provenance, within limits. */
import { parse, tokenize } from '@huggingface/jinja';
import { InvalidCheckpoint, InvalidRequest, WebmoeError } from '../errors.ts';
import { isObject, type Json } from './json.ts';
import { Budget, TemplateLimit, TEMPLATE_LIMITS } from './template/budget.ts';
import { createGlobals, TemplateRefusal } from './template/globals.ts';
import { TracingInterpreter } from './template/interpreter.ts';
import { fromTemplate, TracedString, UserObject, userValue, type Piece } from './template/values.ts';
import { readTokenizerConfig } from './tokenizer-config.ts';

export type { Piece } from './template/values.ts';

/** One turn. Templates may read further fields (`tool_calls`, `reasoning_content`, `name`); they are passed on as they are. */
export interface ChatMessage {
  /** Lower-case words; templates build control tokens from it (`<|user|>`), so nothing else is allowed. */
  readonly role: string;
  readonly content?: unknown;
  readonly [field: string]: unknown;
}

export interface RenderOptions {
  readonly tools?: readonly unknown[];
  /** Ends with the start of an answer. Default true. */
  readonly addGenerationPrompt?: boolean;
  /** What else the template asks for: `enable_thinking`, `reasoning_effort`, `documents`... Strings among them count as user text. */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** What `strftime_now` tells; default: the clock. */
  readonly now?: Date;
}

export interface ChatTemplate {
  readonly source: string;
  /**
   * @returns the text in pieces, each from the template or from the caller; their joined text is what transformers renders
   * @throws InvalidRequest when the messages are malformed or the template refuses them; its words are in the message, as plain text
   * @throws InvalidCheckpoint ('template') when the template fails or wants more than TEMPLATE_LIMITS
   */
  render(messages: readonly ChatMessage[], options?: RenderOptions): readonly Piece[];
}

type Program = ReturnType<typeof parse>;

function refuse(message: string, details: Readonly<Record<string, unknown>> = {}, cause?: unknown): never {
  throw new InvalidCheckpoint('template', `chat template: ${message}`, details, { cause });
}

const words = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, 500);

function compile(source: string): Program {
  if (source.length > TEMPLATE_LIMITS.source) refuse(`longer than ${TEMPLATE_LIMITS.source} characters`);
  if (new RegExp(`\\s{${TEMPLATE_LIMITS.blanks}}`).test(source)) refuse(`${TEMPLATE_LIMITS.blanks} blanks in a row`);
  try {
    return parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
  } catch (error) {
    return refuse(`cannot be read: ${words(error)}`, {}, error);
  }
}

const text = (value: unknown): value is string => typeof value === 'string';

/** The template of a list or object of named ones; `default` unless there is only one. */
function pickTemplate(value: Json): string | null {
  if (text(value)) return value;
  const named = Array.isArray(value)
    ? value.filter(isObject).map((entry) => [entry.name, entry.template] as const)
    : isObject(value)
      ? Object.entries(value)
      : [];
  const usable = named.filter((pair): pair is readonly [string, string] => text(pair[0]) && text(pair[1]));
  if (value !== null && usable.length === 0) refuse('chat_template of tokenizer_config.json holds no template');
  return (usable.find(([name]) => name === 'default') ?? (usable.length === 1 ? usable[0] : undefined))?.[1] ?? null;
}

function checkMessages(messages: readonly ChatMessage[]): void {
  if (messages.length === 0) throw new InvalidRequest('a chat needs at least one message', {});
  messages.forEach((message, i) => {
    const role = typeof message === 'object' && message !== null ? message.role : null;
    if (!text(role) || !/^[a-z][a-z0-9_-]{0,31}$/.test(role)) {
      throw new InvalidRequest(`message ${i}: role must be a lower-case word such as "user"`, { message: i });
    }
  });
}

/** Characters of all strings and keys; the nesting has been checked. */
function textLength(value: unknown): number {
  if (text(value)) return value.length;
  if (typeof value !== 'object' || value === null) return 0;
  return Object.entries(value).reduce((sum, [key, inner]) => sum + key.length + textLength(inner), 0);
}

/** Messages as values: the role is checked and counts as the template's, everything else is the caller's. */
function messageValue(message: ChatMessage): UserObject {
  const value = userValue(message) as UserObject;
  value.value.set('role', fromTemplate(message.role));
  return value;
}

/** Puts the system text before the first user turn: what people do by hand for templates that know no system role (Mixtral, Gemma). */
function foldSystem(messages: readonly ChatMessage[]): readonly ChatMessage[] | null {
  const [system, first, ...rest] = messages;
  if (system?.role !== 'system' || first?.role !== 'user' || !text(system.content) || !text(first.content)) return null;
  return [{ ...first, content: `${system.content}\n\n${first.content}` }, ...rest];
}

class Template implements ChatTemplate {
  readonly source: string;
  readonly #program: Program;
  readonly #named: Readonly<Record<string, string>>;

  constructor(source: string, namedTokens: Readonly<Record<string, string>>) {
    this.source = source;
    this.#program = compile(source);
    this.#named = namedTokens;
  }

  render(messages: readonly ChatMessage[], options: RenderOptions = {}): readonly Piece[] {
    checkMessages(messages);
    try {
      return this.#run(messages, options);
    } catch (error) {
      const folded = error instanceof TemplateRefusal ? foldSystem(messages) : null;
      if (!folded) throw this.#explain(error);
      try {
        return this.#run(folded, options);
      } catch (second) {
        throw this.#explain(second instanceof TemplateRefusal ? error : second);
      }
    }
  }

  #run(messages: readonly ChatMessage[], options: RenderOptions): readonly Piece[] {
    const globals = createGlobals(() => options.now ?? new Date());
    for (const [name, value] of Object.entries(this.#named)) globals.setVariable(name, fromTemplate(value));
    try {
      const variables = { ...options.variables, tools: options.tools ?? options.variables?.tools ?? null };
      for (const [name, value] of Object.entries(variables)) {
        if (value !== undefined) globals.setVariable(name, userValue(value));
      }
      const list = userValue([]);
      if (Array.isArray(list.value)) list.value.push(...messages.map(messageValue));
      globals.setVariable('messages', list);
      globals.setVariable('add_generation_prompt', userValue(options.addGenerationPrompt ?? true));
      const length = textLength(messages) + textLength(variables);
      if (length > TEMPLATE_LIMITS.output) throw new RangeError(`${length} characters are too many`);
    } catch (cause) {
      throw new InvalidRequest(`messages, tools or variables: ${words(cause)}`, {}, { cause });
    }
    const result = new TracingInterpreter(globals, new Budget(), this.source.length).run(this.#program);
    return result instanceof TracedString ? result.pieces : refuse('gives no text');
  }

  #explain(error: unknown): unknown {
    if (error instanceof WebmoeError) return error;
    if (error instanceof TemplateRefusal) {
      return new InvalidRequest(`the chat template refuses these messages: ${words(error)}`, {}, { cause: error });
    }
    const details = error instanceof TemplateLimit ? { limit: error.limit } : {};
    return new InvalidCheckpoint('template', `chat template: ${words(error)}`, details, { cause: error });
  }
}

/**
 * @param jinja text of chat_template.jinja, which goes before the template inside tokenizer_config.json
 * @returns null when neither has one
 * @throws InvalidCheckpoint ('template') when it is too long or cannot be parsed
 */
export function loadChatTemplate(jinja: string | null, tokenizerConfigJson: string | null): ChatTemplate | null {
  const { namedTokens, chatTemplate } = readTokenizerConfig(tokenizerConfigJson);
  const source = jinja ?? pickTemplate(chatTemplate);
  return source === null ? null : new Template(source, namedTokens);
}
