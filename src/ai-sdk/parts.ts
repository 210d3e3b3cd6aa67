/** Chunks of a completion as stream parts of the AI SDK. */
import type { ChatCompletionChunk, FinishReason, MoeReport, ToolCallDelta, Usage } from '../chat/types.ts';
import { invariant } from '../util/assert.ts';
import { figuresOf, finishOf, jsonOf, metadataOf, usageOf } from './figures.ts';
import type { JsonObject, ProviderMetadata, StreamPart, ToolCallPart } from './types.ts';

/** Opens and closes text, thoughts and calls; one is open at a time. */
export class PartWriter {
  #open:
    | { readonly kind: 'text' | 'reasoning'; readonly id: string }
    | { readonly kind: 'tool'; readonly call: ToolCallPart }
    | null = null;
  #ids = 0;
  #isFirst = true;
  /** Routing of tokens that brought no text yet. */
  #tokens: MoeReport['tokens'] = [];
  #finish: FinishReason | null = null;
  #seed = 0;
  #moe: MoeReport | undefined;
  #usage: Usage | null = null;

  chunk(chunk: ChatCompletionChunk): StreamPart[] {
    const parts: StreamPart[] = this.#isFirst ? [{ type: 'response-metadata', ...metadataOf(chunk) }] : [];
    this.#isFirst = false;
    if (chunk.usage) this.#usage = chunk.usage;
    const [choice] = chunk.choices;
    if (!choice) return parts;
    const { delta, moe } = choice;
    this.#tokens.push(...(moe?.tokens ?? []));
    if (delta.reasoning_content) parts.push(...this.#text('reasoning', delta.reasoning_content));
    if (delta.content) parts.push(...this.#text('text', delta.content));
    for (const call of delta.tool_calls ?? []) parts.push(...this.#call(call));
    if (choice.finish_reason) {
      this.#finish = choice.finish_reason;
      this.#seed = choice.seed!;
      this.#moe = moe;
    }
    return parts;
  }

  /** @param experts `model.expertStats()` */
  end(experts: unknown): StreamPart[] {
    const usage = this.#usage;
    invariant(usage && this.#finish, 'a completion without an end');
    const moe = this.#moe && { ...this.#moe, tokens: this.#tokens };
    const webmoe = figuresOf({ usage, seed: this.#seed, moe, experts });
    const finish = { usage: usageOf(usage), finishReason: finishOf(this.#finish), providerMetadata: { webmoe } };
    return [...this.#close(), { type: 'finish', ...finish }];
  }

  #text(kind: 'text' | 'reasoning', delta: string): StreamPart[] {
    const parts = this.#open?.kind === kind ? [] : this.#close();
    if (this.#open?.kind !== kind) {
      this.#open = { kind, id: String(this.#ids++) };
      parts.push({ type: `${kind}-start`, id: this.#open.id });
    }
    const { id } = this.#open as { readonly id: string };
    parts.push({ type: `${kind}-delta`, id, delta, ...this.#routing() });
    return parts;
  }

  #call({ id, function: part }: ToolCallDelta): StreamPart[] {
    const parts: StreamPart[] = [];
    if (id !== undefined) {
      parts.push(...this.#close());
      this.#open = { kind: 'tool', call: { type: 'tool-call', toolCallId: id, toolName: part!.name!, input: '' } };
      parts.push({ type: 'tool-input-start', id, toolName: part!.name! });
    }
    const open = this.#open;
    invariant(open?.kind === 'tool', 'arguments of no call');
    const delta = part?.arguments ?? '';
    open.call.input += delta;
    if (delta) parts.push({ type: 'tool-input-delta', id: open.call.toolCallId, delta, ...this.#routing() });
    return parts;
  }

  #close(): StreamPart[] {
    const open = this.#open;
    this.#open = null;
    if (!open) return [];
    if (open.kind !== 'tool') return [{ type: `${open.kind}-end`, id: open.id }];
    return [{ type: 'tool-input-end', id: open.call.toolCallId }, open.call];
  }

  #routing(): { providerMetadata?: ProviderMetadata } {
    if (this.#tokens.length === 0) return {};
    const webmoe: JsonObject = { tokens: jsonOf(this.#tokens)! };
    this.#tokens = [];
    return { providerMetadata: { webmoe } };
  }
}
