/** A call of the AI SDK as a chat request. */
import type { ChatRequest, Message, Tool, ToolCall } from '../chat/types.ts';
import { InvalidRequest } from '../errors.ts';
import type { CallOptions, CallTool, PromptMessage, PromptPart, Warning } from './types.ts';

function refusePart(role: string, type: string): never {
  throw new InvalidRequest(`A ${role} message has a part of type ${JSON.stringify(type)}: only text can be read`, {
    type,
  });
}

function textOf(role: string, parts: readonly PromptPart[], type: string, others: readonly string[] = []): string {
  const odd = parts.find((part) => part.type !== type && !others.includes(part.type));
  if (odd) refusePart(role, odd.type);
  return parts.map((part) => (part.type === type ? (part.text ?? '') : '')).join('');
}

const callOf = ({ toolCallId, toolName, input }: PromptPart): ToolCall => ({
  id: toolCallId!,
  type: 'function',
  function: { name: toolName!, arguments: typeof input === 'string' ? input : JSON.stringify(input) },
});

function assistantMessage(parts: readonly PromptPart[]): Message {
  const known = ['text', 'reasoning', 'tool-call'];
  const calls = parts.filter(({ type }) => type === 'tool-call').map(callOf);
  const content = textOf('assistant', parts, 'text', known);
  const thoughts = textOf('assistant', parts, 'reasoning', known);
  return {
    role: 'assistant',
    content: content || calls.length === 0 ? content : null,
    ...(thoughts && { reasoning_content: thoughts }),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
}

function resultText(output: NonNullable<PromptPart['output']>): string {
  if (output.type === 'execution-denied') return output.reason ?? 'The user refused this call.';
  if (output.type === 'content') return textOf('tool', output.value as readonly PromptPart[], 'text');
  return typeof output.value === 'string' ? output.value : JSON.stringify(output.value);
}

function messagesOf({ role, content }: PromptMessage): Message[] {
  if (typeof content === 'string') return [{ role: 'system', content }];
  if (role === 'assistant') return [assistantMessage(content)];
  if (role !== 'tool') return [{ role: 'user', content: textOf(role, content, 'text') }];
  return content.map((part) => {
    if (part.type !== 'tool-result') return refusePart(role, part.type);
    return { role: 'tool', content: resultText(part.output!), tool_call_id: part.toolCallId! };
  });
}

const toolOf = ({ name, description, inputSchema }: CallTool): Tool => ({
  type: 'function',
  function: { name, description, parameters: inputSchema as Record<string, unknown> },
});

/** Fields of a chat request that `providerOptions.webmoe` may give: those that the AI SDK has no name for. */
const OWN = [
  'min_p',
  'repetition_penalty',
  'logit_bias',
  'parallel_tool_calls',
  'reasoning_effort',
  'chat_template_kwargs',
  'moe',
] as const;

export interface CallRequest {
  readonly request: ChatRequest;
  readonly warnings: Warning[];
}

function ownFields(options: CallOptions, warnings: Warning[]): Partial<ChatRequest> {
  const entries = Object.entries(options.providerOptions?.webmoe ?? {});
  for (const [key] of entries) {
    if (!OWN.some((own) => own === key))
      warnings.push({ type: 'unsupported', feature: `providerOptions.webmoe.${key}` });
  }
  return Object.fromEntries(entries.filter(([key]) => OWN.some((own) => own === key)));
}

function formatOf(format: CallOptions['responseFormat']): ChatRequest['response_format'] {
  if (format?.type !== 'json') return null;
  if (format.schema === undefined) return { type: 'json_object' };
  const schema = format.schema as Record<string, unknown>;
  return { type: 'json_schema', json_schema: { name: format.name ?? 'answer', schema, strict: true } };
}

function choiceOf(choice: CallOptions['toolChoice']): ChatRequest['tool_choice'] {
  return choice?.type === 'tool' ? { type: 'function', function: { name: choice.toolName } } : choice?.type;
}

/** @throws InvalidRequest for parts that are no text */
export function requestOf(options: CallOptions): CallRequest {
  const warnings: Warning[] = [];
  const tools = (options.tools ?? []).filter((tool) => {
    if (tool.type !== 'function') warnings.push({ type: 'unsupported', feature: `provider tool ${tool.name}` });
    return tool.type === 'function';
  });
  if (options.headers && Object.keys(options.headers).some((name) => name.toLowerCase() !== 'user-agent')) {
    warnings.push({ type: 'unsupported', feature: 'headers', details: 'nothing is sent anywhere' });
  }
  if (options.includeRawChunks) warnings.push({ type: 'unsupported', feature: 'includeRawChunks' });
  const request: ChatRequest = {
    messages: options.prompt.flatMap(messagesOf),
    max_completion_tokens: options.maxOutputTokens,
    temperature: options.temperature,
    stop: options.stopSequences?.length ? options.stopSequences : null,
    top_p: options.topP,
    top_k: options.topK,
    presence_penalty: options.presencePenalty,
    frequency_penalty: options.frequencyPenalty,
    response_format: formatOf(options.responseFormat),
    seed: options.seed,
    tools: tools.length > 0 ? tools.map(toolOf) : null,
    tool_choice: tools.length > 0 ? choiceOf(options.toolChoice) : null,
    ...ownFields(options, warnings),
  };
  return { request, warnings };
}
