/** The types fit those of the package `openai`, both ways. What fails here fails in tsc; the test itself only shows that the file was compiled. */
import type OpenAI from 'openai';
import { expect, it } from 'vitest';
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatRequest,
  ResponseFormat,
  ToolChoice,
} from '../../../src/chat/types.ts';

type Params = OpenAI.Chat.Completions.ChatCompletionCreateParams;
type MessageParam = OpenAI.Chat.Completions.ChatCompletionMessageParam;

/** Functions only, where theirs also has tools of other kinds, and no parts of other media than text. */
type SupportedMessage =
  | Exclude<MessageParam, { role: 'assistant' | 'function' }>
  | (Omit<Extract<MessageParam, { role: 'assistant' }>, 'tool_calls' | 'audio' | 'function_call'> & {
      tool_calls?: OpenAI.Chat.Completions.ChatCompletionMessageFunctionToolCall[];
    });
type Supported = Pick<
  Params,
  | 'model'
  | 'stream'
  | 'stream_options'
  | 'max_completion_tokens'
  | 'max_tokens'
  | 'stop'
  | 'seed'
  | 'temperature'
  | 'top_p'
  | 'frequency_penalty'
  | 'presence_penalty'
  | 'logit_bias'
  | 'logprobs'
  | 'top_logprobs'
  | 'n'
  | 'parallel_tool_calls'
  | 'response_format'
  | 'reasoning_effort'
  | 'user'
  | 'metadata'
> & {
  messages: SupportedMessage[];
  tools?: OpenAI.Chat.Completions.ChatCompletionFunctionTool[];
  tool_choice?: 'none' | 'auto' | 'required' | OpenAI.Chat.Completions.ChatCompletionNamedToolChoice;
};

type Fits<From extends To, To> = [From, To];
type Checks = [
  Fits<ChatCompletion, OpenAI.Chat.Completions.ChatCompletion>,
  Fits<ChatCompletionChunk, OpenAI.Chat.Completions.ChatCompletionChunk>,
  Fits<Supported, ChatRequest>,
  Fits<NonNullable<Params['response_format']>, ResponseFormat>,
  Fits<ToolChoice, NonNullable<Params['tool_choice']>>,
  // An answer goes back into the next request as it is, on both sides.
  Fits<ChatCompletion['choices'][0]['message'], ChatRequest['messages'][number]>,
  Fits<ChatCompletion['choices'][0]['message'], MessageParam>,
];

it('has types that openai takes, and takes theirs', () => {
  const checked: Checks | null = null;
  expect(checked).toBeNull();
});
