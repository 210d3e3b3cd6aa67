/** The chunks of one streamed answer, pulled: nothing is read ahead of who reads. */
import type { AnyChunk, AnyStream } from './types.ts';
import { isFields, type RemoteClient } from './client.ts';
import { eventData } from './event-stream.ts';

export class RemoteStream implements AnyStream {
  readonly #client: RemoteClient;
  readonly #response: Response;
  readonly #stop: AbortController;
  readonly #signal: AbortSignal | undefined;
  /** Choices that have not said how they ended. */
  readonly #open = new Set<number>();
  #hasEnded = false;

  /** @param stop ends the request */
  constructor(client: RemoteClient, response: Response, stop: AbortController, signal: AbortSignal | undefined) {
    this.#client = client;
    this.#response = response;
    this.#stop = stop;
    this.#signal = signal;
  }

  abort(): void {
    this.#hasEnded = true;
    this.#stop.abort();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<AnyChunk> {
    try {
      for await (const data of eventData(this.#bytes())) {
        if (data === '[DONE]') return;
        const chunk = this.#read(data);
        this.#follow(chunk);
        yield chunk;
        if (this.#hasEnded) return;
      }
      if (!this.#hasEnded && this.#open.size > 0)
        throw this.#client.error(null, 'the answer broke off before its end', {});
    } finally {
      this.abort();
    }
  }

  async *#bytes(): AsyncGenerator<Uint8Array> {
    const reader = this.#response.body?.getReader();
    while (reader) {
      const step = reader.read();
      let next: Awaited<typeof step>;
      try {
        next = await step;
      } catch (error) {
        this.#signal?.throwIfAborted();
        if (this.#hasEnded) return;
        throw this.#client.broken(error);
      }
      if (next.done) return;
      yield next.value;
    }
  }

  #read(data: string): AnyChunk {
    let json: unknown;
    try {
      json = JSON.parse(data);
    } catch {
      json = null;
    }
    if (isFields(json) && json.error !== undefined && json.error !== null)
      throw this.#client.refusal(this.#response.status, data);
    if (!isFields(json) || !Array.isArray(json.choices))
      throw this.#client.error(null, 'the answer is no stream of chat completions', {});
    return json as unknown as AnyChunk;
  }

  #follow({ choices }: AnyChunk): void {
    for (const { index, finish_reason: reason } of choices) {
      if (reason) this.#open.delete(index);
      else this.#open.add(index);
    }
  }
}
