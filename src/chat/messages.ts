/** Messages as the chat template wants them. */
import type { ChatMessage } from '../text/chat-template.ts';
import { checkKeys, checkObject, checkText, isObject, refuseField } from './check.ts';
import type { Dialect } from './dialect.ts';
import { toolPrompt, writtenCalls, writtenResult } from './tools/fallback.ts';
import type { FunctionDefinition, Message, ToolCall } from './types.ts';

const FIELDS: Readonly<Record<Message['role'], readonly string[]>> = {
  system: ['role', 'content', 'name'],
  developer: ['role', 'content', 'name'],
  user: ['role', 'content', 'name'],
  assistant: ['role', 'content', 'name', 'refusal', 'reasoning_content', 'tool_calls'],
  tool: ['role', 'content', 'tool_call_id', 'name'],
};

function contentText(content: unknown, field: string): string | null {
  if (content === null || content === undefined) return null;
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return refuseField(field, 'must be a string or a list of text parts');
  return content
    .map((part: unknown, i) => {
      const { type, text } = checkObject(part, `${field}[${i}]`);
      if (type !== 'text') refuseField(`${field}[${i}].type`, `${JSON.stringify(type)} is not supported, only "text"`);
      return checkText(text, `${field}[${i}].text`);
    })
    .join('');
}

function checkCalls(calls: unknown, field: string): readonly ToolCall[] {
  if (!Array.isArray(calls)) return refuseField(field, 'must be a list');
  return calls.map((call: unknown, i) => {
    const at = `${field}[${i}]`;
    const { id, type, function: target } = checkObject(call, at);
    if (type !== 'function') refuseField(`${at}.type`, 'must be "function"');
    const { name, arguments: args } = checkObject(target, `${at}.function`);
    const written = {
      name: checkText(name, `${at}.function.name`),
      arguments: checkText(args, `${at}.function.arguments`),
    };
    return { id: checkText(id, `${at}.id`), type: 'function', function: written };
  });
}

/** Most templates write arguments by `tojson` and want them as an object. */
function argumentsValue(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : text;
  } catch {
    return text;
  }
}

interface Turn {
  readonly role: Message['role'];
  readonly content: string | null;
  readonly calls: readonly ToolCall[];
  readonly message: Readonly<Record<string, unknown>>;
}

function checkTurn(message: unknown, i: number): Turn {
  const at = `messages[${i}]`;
  const fields = checkObject(message, at);
  const role = fields.role as Message['role'];
  if (!Object.hasOwn(FIELDS, String(role))) {
    refuseField(`${at}.role`, `must be one of ${Object.keys(FIELDS).join(', ')}, got ${JSON.stringify(role)}`);
  }
  checkKeys(fields, FIELDS[role], `${at}.`);
  const content = contentText(fields.content, `${at}.content`);
  const calls = fields.tool_calls ? checkCalls(fields.tool_calls, `${at}.tool_calls`) : [];
  if (content === null && role !== 'assistant') refuseField(`${at}.content`, 'is missing');
  if (role === 'tool') checkText(fields.tool_call_id, `${at}.tool_call_id`);
  return { role, content, calls, message: fields };
}

/** For templates that show tools to the model. */
function ownMessage(turn: Turn, dialect: Dialect, names: ReadonlyMap<unknown, string>): ChatMessage {
  const { role, calls, message } = turn;
  const thoughts = message.reasoning_content;
  const content = turn.content ?? (dialect.isTextual && calls.length > 0 ? null : '');
  const written = calls.map((call) => ({
    ...call,
    function: {
      ...call.function,
      arguments: dialect.isTextual ? call.function.arguments : argumentsValue(call.function.arguments),
    },
  }));
  return {
    role: role === 'developer' && !dialect.hasDeveloper ? 'system' : role,
    content,
    ...(typeof message.name === 'string' && { name: message.name }),
    ...(typeof thoughts === 'string' && {
      reasoning_content: thoughts,
      ...(dialect.isHarmony && { thinking: thoughts }),
    }),
    ...(written.length > 0 && { tool_calls: written }),
    ...(role === 'tool' && {
      tool_call_id: message.tool_call_id,
      name: message.name ?? names.get(message.tool_call_id),
    }),
  };
}

/** For the others: calls and results become text in Hermes' format. */
function plainMessage(turn: Turn, dialect: Dialect, names: ReadonlyMap<unknown, string>): ChatMessage {
  if (turn.role === 'tool') return { role: 'user', content: writtenResult(turn.content ?? '') };
  const own = ownMessage({ ...turn, calls: [] }, dialect, names);
  const calls = writtenCalls(turn.calls);
  return { ...own, content: [turn.content, calls].filter(Boolean).join('\n') };
}

/** The system message of the request, if it begins with one, goes before what is said about tools. */
function withTools(messages: readonly ChatMessage[], tools: readonly FunctionDefinition[]): ChatMessage[] {
  const [first, ...rest] = messages;
  const text = toolPrompt(tools);
  if (first?.role !== 'system') return [{ role: 'system', content: text }, ...messages];
  return [{ ...first, content: `${String(first.content)}\n\n${text}` }, ...rest];
}

/**
 * @param tools the request's; empty: none, though earlier turns may have calls
 * @throws InvalidRequest naming the message and field
 */
export function templateMessages(
  messages: unknown,
  tools: readonly FunctionDefinition[],
  dialect: Dialect,
): readonly ChatMessage[] {
  if (!Array.isArray(messages) || messages.length === 0)
    return refuseField('messages', 'must be a list of at least one');
  const turns = messages.map(checkTurn);
  const names = new Map<unknown, string>(
    turns.flatMap(({ calls }) => calls.map((c) => [c.id, c.function.name] as const)),
  );
  if (dialect.toolSupport === 'own') return turns.map((turn) => ownMessage(turn, dialect, names));
  const plain = turns.map((turn) => plainMessage(turn, dialect, names));
  return tools.length > 0 ? withTools(plain, tools) : plain;
}
