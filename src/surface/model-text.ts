/** A model's tokenizer and chat template, asked where the model runs. */
import type { ChatMessage, RenderOptions } from '../text/chat-template.ts';
import type { DecodeOptions, EncodeOptions } from '../text/tokenizer.ts';
import type { Args, CallName, Result } from './calls.ts';

type Ask = <K extends CallName>(name: K, args: Args<K>) => Promise<Result<K>>;

export class ModelTokenizer {
  readonly #ask: Ask;
  /** One more than the largest id. */
  readonly vocabSize: number;

  constructor(ask: Ask, vocabSize: number) {
    this.#ask = ask;
    this.vocabSize = vocabSize;
  }

  /** @throws InvalidRequest when the text is too long */
  encode(text: string, options?: EncodeOptions): Promise<number[]> {
    return this.#ask('encode', [text, options]);
  }

  /** Ids outside the vocabulary have no text. */
  decode(ids: Iterable<number>, options?: DecodeOptions): Promise<string> {
    return this.#ask('decode', [[...ids], options]);
  }

  /** How many tokens `encode` would give. */
  async count(text: string, options?: EncodeOptions): Promise<number> {
    return (await this.encode(text, options)).length;
  }
}

export class ModelTemplate {
  readonly #ask: Ask;
  /** As the checkpoint has it: Jinja. */
  readonly text: string;

  constructor(ask: Ask, text: string) {
    this.#ask = ask;
    this.text = text;
  }

  /**
   * The prompt as the template writes it.
   * @throws InvalidRequest when the messages are malformed or the template refuses them
   * @throws InvalidCheckpoint (`template`) when the template fails
   */
  render(messages: readonly ChatMessage[], options?: RenderOptions): Promise<string> {
    return this.#ask('render', [messages, options]);
  }
}
