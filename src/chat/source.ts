/** What chat completions need of a model: one in this thread, in a worker, or scripted. */
import type { GeneratedToken, GenerateOptions, GenerateSummary } from '../engine/generation.ts';
import type { Prompt } from '../engine/text.ts';

export interface ChatSource {
  /** What answers carry as `model`. */
  readonly id: string;
  /** Tokens, prompt and answer together. */
  readonly contextLength: number;
  /** The chat template's source, which tells how the model writes tool calls and thoughts; null: it has none. */
  readonly templateText: string | null;
  /** One answer, token by token, as `Model.generate`. */
  generate(prompt: Prompt, options?: GenerateOptions): AsyncGenerator<GeneratedToken, GenerateSummary, void>;
}
