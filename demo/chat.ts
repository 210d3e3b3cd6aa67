/** A conversation with a model: history and one answer at a time. No page in here. */
import type { GenerateSummary } from '../src/index.ts';
import type { ChatModel } from './engine.ts';

// A type, not an interface: the template's messages may have further fields, and only a type alias is assignable to that.
export type Message = { readonly role: 'user' | 'assistant'; readonly content: string };

export type Outcome =
  | { readonly kind: 'answered'; readonly summary: GenerateSummary; readonly contextFull: boolean }
  | { readonly kind: 'failed'; readonly error: unknown };

export interface Listener {
  readonly onText: (text: string, tokens: number) => void;
  readonly onPrompt: (progress: { readonly done: number; readonly total: number }) => void;
}

/** A model that repeats itself would go on to the end of its context; this is about three pages. */
export const MAX_ANSWER_TOKENS = 1024;

export class Conversation {
  readonly #model: ChatModel;
  #messages: readonly Message[];
  #running: { readonly abort: AbortController; readonly done: Promise<unknown> } | undefined;

  constructor(model: ChatModel, messages: readonly Message[] = []) {
    this.#model = model;
    this.#messages = messages;
  }

  get messages(): readonly Message[] {
    return this.#messages;
  }

  get isBusy(): boolean {
    return this.#running !== undefined;
  }

  /** Asks and streams the answer. A failed question, or one that was stopped before the first word, leaves no trace in the history. */
  async ask(question: string, listener: Listener): Promise<Outcome> {
    const asked: readonly Message[] = [...this.#messages, { role: 'user', content: question }];
    const abort = new AbortController();
    const done = this.#generate(asked, abort.signal, listener);
    this.#running = { abort, done };
    try {
      const outcome = await done;
      if (outcome.kind === 'answered' && outcome.summary.text) {
        this.#messages = [...asked, { role: 'assistant', content: outcome.summary.text }];
      }
      return outcome;
    } finally {
      this.#running = undefined;
    }
  }

  async #generate(messages: readonly Message[], signal: AbortSignal, listener: Listener): Promise<Outcome> {
    const { contextLength } = this.#model.plan;
    try {
      const answer = this.#model.generate(messages, {
        signal,
        onPrompt: listener.onPrompt,
        maxTokens: MAX_ANSWER_TOKENS,
      });
      for (let tokens = 1; ; tokens++) {
        const { value, done } = await answer.next();
        if (!done) {
          listener.onText(value.text, tokens);
          continue;
        }
        const contextFull =
          value.finishReason === 'length' && value.promptTokens + value.generatedTokens >= contextLength;
        return { kind: 'answered', summary: value, contextFull };
      }
    } catch (error) {
      return { kind: 'failed', error };
    }
  }

  stop(): void {
    this.#running?.abort.abort();
  }

  /** Stops what runs and forgets everything. */
  async clear(): Promise<void> {
    const running = this.#running;
    running?.abort.abort();
    await running?.done;
    this.#messages = [];
  }
}
