/** A provider for the Vercel AI SDK: `streamText({ model: webmoe(model), ... })`. */
import { createChat } from '../chat/chat.ts';
import type { ChatSource } from '../chat/source.ts';
import type { Chat, ChatStream, Choice } from '../chat/types.ts';
import { figuresOf, finishOf, metadataOf, usageOf } from './figures.ts';
import { PartWriter } from './parts.ts';
import { requestOf } from './request.ts';
import type { AnswerPart, StreamPart, Warning, WebmoeLanguageModel } from './types.ts';

/** Anything that answers: a loaded model, or one of `webmoe/testing`. */
export type Answering = (ChatSource | { readonly id: string; readonly chat: Chat }) & {
  /** Its figures go into `providerMetadata.webmoe.experts`. */
  readonly expertStats?: () => unknown;
};

function contentOf({ message }: Choice): AnswerPart[] {
  const calls = (message.tool_calls ?? []).map(({ id, function: { name, arguments: input } }): AnswerPart => {
    return { type: 'tool-call', toolCallId: id, toolName: name, input };
  });
  return [
    ...(message.reasoning_content ? [{ type: 'reasoning' as const, text: message.reasoning_content }] : []),
    ...(message.content ? [{ type: 'text' as const, text: message.content }] : []),
    ...calls,
  ];
}

/** A chunk is computed when the reader wants more. An error is the last part, as the AI SDK wants it; aborting breaks the stream with the reason. */
function partStream(
  chunks: ChatStream,
  warnings: Warning[],
  model: Answering,
  signal: AbortSignal | undefined,
): ReadableStream<StreamPart> {
  const iterator = chunks[Symbol.asyncIterator]();
  const writer = new PartWriter();
  const source: UnderlyingDefaultSource<StreamPart> = {
    start: (controller) => controller.enqueue({ type: 'stream-start', warnings }),
    async pull(controller) {
      try {
        for (;;) {
          const { value, done } = await iterator.next();
          const parts = done ? writer.end(await model.expertStats?.()) : writer.chunk(value);
          for (const part of parts) controller.enqueue(part);
          if (done) return controller.close();
          if (parts.length > 0) return;
        }
      } catch (error) {
        if (signal?.aborted) throw error;
        controller.enqueue({ type: 'error', error });
        controller.close();
      }
    },
    async cancel() {
      chunks.abort();
      await iterator.return?.();
    },
  };
  return new ReadableStream(source, { highWaterMark: 0 });
}

/**
 * @param model what `load` gives, a `ChatSource`, or a scripted model
 * @returns a `LanguageModelV3`. What the AI SDK has no name for is in `providerOptions.webmoe`; with `moe` there, every delta tells its routing in
 * `providerMetadata.webmoe`. Files are refused, unsupported settings become warnings.
 */
export function webmoe(model: Answering): WebmoeLanguageModel {
  const chat = 'chat' in model ? model.chat : createChat(model);
  return {
    specificationVersion: 'v3',
    provider: 'webmoe',
    modelId: model.id,
    supportedUrls: {},
    async doGenerate(options) {
      const { request, warnings } = requestOf(options);
      const completion = await chat.completions.create({ ...request, stream: false }, { signal: options.abortSignal });
      const choice = completion.choices[0]!;
      const { usage } = completion;
      const experts = await model.expertStats?.();
      return {
        content: contentOf(choice),
        finishReason: finishOf(choice.finish_reason),
        usage: usageOf(usage),
        providerMetadata: { webmoe: figuresOf({ usage, seed: choice.seed, moe: choice.moe, experts }) },
        response: metadataOf(completion),
        warnings,
      };
    },
    async doStream(options) {
      const { request, warnings } = requestOf(options);
      const stream = { stream: true, stream_options: { include_usage: true } } as const;
      const chunks = await chat.completions.create({ ...request, ...stream }, { signal: options.abortSignal });
      return { stream: partStream(chunks, warnings, model, options.abortSignal) };
    },
  };
}

export type { StreamPart, WebmoeLanguageModel } from './types.ts';
