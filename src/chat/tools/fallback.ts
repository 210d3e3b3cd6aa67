/** Tools for models whose template knows none: told in a system message, called in Hermes' format. Small models may ignore it unless a call is forced. */
import type { FunctionDefinition, ToolCall } from '../types.ts';

export const toolPrompt = (tools: readonly FunctionDefinition[]): string =>
  [
    'You can call these functions, each given as JSON with its parameters as a JSON Schema:',
    ...tools.map(({ name, description, parameters }) => JSON.stringify({ name, description, parameters })),
    'To call one, answer with',
    '<tool_call>\n{"name": <its name>, "arguments": <its arguments as a JSON object>}\n</tool_call>',
    'and nothing else. The result comes in the next message, between <tool_response> and </tool_response>.',
  ].join('\n');

export const writtenCalls = (calls: readonly ToolCall[]): string =>
  calls
    .map(({ function: { name, arguments: args } }) => {
      return `<tool_call>\n{"name": ${JSON.stringify(name)}, "arguments": ${args}}\n</tool_call>`;
    })
    .join('\n');

export const writtenResult = (text: string): string => `<tool_response>\n${text}\n</tool_response>`;
