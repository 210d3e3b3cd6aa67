/** A choice as one piece, from its chunks. */
import { invariant } from '../util/assert.ts';
import type { AssistantAnswer, Choice, ChunkChoice, Logprobs, MoeReport, ToolCall, ToolCallDelta } from './types.ts';

function addCall(calls: ToolCall[], { index, id, function: part }: ToolCallDelta): void {
  const call = calls[index];
  if (call) call.function.arguments += part?.arguments ?? '';
  else calls[index] = { id: id!, type: 'function', function: { name: part!.name!, arguments: part!.arguments ?? '' } };
}

function messageOf(chunks: readonly ChunkChoice[]): AssistantAnswer {
  const all = (key: 'content' | 'reasoning_content'): string => chunks.map(({ delta }) => delta[key] ?? '').join('');
  const calls: ToolCall[] = [];
  for (const { delta } of chunks) for (const call of delta.tool_calls ?? []) addCall(calls, call);
  const content = all('content');
  const thoughts = all('reasoning_content');
  return {
    role: 'assistant',
    content: calls.length > 0 && !content ? null : content,
    refusal: null,
    ...(thoughts && { reasoning_content: thoughts }),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
}

const logprobsOf = (chunks: readonly ChunkChoice[]): Logprobs | null => {
  const lists = chunks.flatMap(({ logprobs }) => (logprobs?.content ? [logprobs.content] : []));
  return lists.length > 0 ? { content: lists.flat(), refusal: null } : null;
};

/** @param chunks all of one choice, in order */
export function wholeChoice(chunks: readonly ChunkChoice[]): Choice {
  const last = chunks.at(-1);
  invariant(last?.finish_reason && last.seed !== undefined, 'a choice that did not end');
  const moe: MoeReport | undefined = last.moe && {
    ...last.moe,
    tokens: chunks.flatMap((chunk) => chunk.moe?.tokens ?? []),
  };
  return {
    index: last.index,
    message: messageOf(chunks),
    finish_reason: last.finish_reason,
    logprobs: logprobsOf(chunks),
    seed: last.seed,
    ...(moe && { moe }),
  };
}
