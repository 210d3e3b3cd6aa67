/** `webmoe run`: one prompt, or a chat at the terminal. */
import { createInterface } from 'node:readline';
import type { GenerateSummary } from '../engine/generation.ts';
import type { Model } from '../engine/model.ts';
import type { ChatMessage } from '../text/chat-template.ts';
import type { OptionSpec, Options } from './args.ts';
import { loadModel, MODEL_OPTIONS, type Output } from './common.ts';
import { LIMIT_OPTIONS, limitOptions } from './limits.ts';

export const RUN_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  ...MODEL_OPTIONS,
  prompt: { type: 'text', value: 'TEXT', help: 'answer this and stop; without it, chat' },
  system: { type: 'text', value: 'TEXT', help: 'system message' },
  'max-tokens': { type: 'whole', value: 'N', help: 'longest answer', min: 1 },
  temperature: { type: 'number', value: 'X', help: '0 is greedy; default: what the model ships', min: 0 },
  seed: { type: 'whole', value: 'N', help: 'repeat an answer exactly', min: 0 },
  'target-language': { type: 'text', value: 'CODE', help: 'language to translate into, as in deu_Latn' },
  'source-language': { type: 'text', value: 'CODE', help: "language of the text; default: the tokenizer's" },
  ...LIMIT_OPTIONS,
};

interface Turn {
  readonly model: Model;
  readonly options: Options;
  readonly limits: ReturnType<typeof limitOptions>;
  readonly out: Output;
  readonly signal: AbortSignal;
}

async function answer(
  { model, options, limits, out, signal }: Turn,
  messages: readonly ChatMessage[],
): Promise<GenerateSummary> {
  const maxTokens = options.number('max-tokens');
  const temperature = options.number('temperature');
  const seed = options.number('seed');
  const targetLanguage = options.text('target-language');
  const sourceLanguage = options.text('source-language');
  const prompt = model.text?.template ? messages : messages.map((m) => m.content).join('\n');
  const tokens = model.generate(prompt, {
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(seed === undefined ? {} : { seed }),
    ...(targetLanguage === undefined ? {} : { targetLanguage }),
    ...(sourceLanguage === undefined ? {} : { sourceLanguage }),
    ...limits,
    signal,
  });
  for (;;) {
    const next = await tokens.next();
    if (next.done) {
      out.write('\n');
      out.note(figures(next.value));
      return next.value;
    }
    out.write(next.value.text);
  }
}

const figures = (s: GenerateSummary): string => {
  const speed = s.tokensPerSecond === null ? '' : `, ${s.tokensPerSecond.toPrecision(3)} tokens/s`;
  const approximate = s.approximations.length ? `\n[approximate: ${s.approximations.join('; ')}]` : '';
  const cached = s.cachedTokens ? ` (${s.cachedTokens} cached)` : '';
  return `[${s.promptTokens} prompt tokens${cached}, first token after ${(s.timeToFirstTokenMs / 1000).toPrecision(3)} s, ${s.generatedTokens} tokens${speed}, ${s.finishReason}, seed ${s.seed}]${approximate}\n`;
};

/** Every line of stdin, typed or piped, is a turn; the end of the input ends the chat. */
async function chat(turn: Omit<Turn, 'signal'>, system: readonly ChatMessage[]): Promise<void> {
  const isTyped = Boolean(process.stdin.isTTY);
  const { out } = turn;
  const lines = createInterface({ input: process.stdin, prompt: '> ', ...(isTyped ? { output: process.stderr } : {}) });
  let stop: AbortController | undefined;
  lines.on('SIGINT', () => (stop ? stop.abort() : lines.close()));
  if (isTyped) out.note('Ctrl+C stops an answer, or leaves. /new starts over.\n');
  let messages = [...system];
  if (isTyped) lines.prompt();
  // The iterator keeps the lines that arrive while an answer is being written; `question` would lose them.
  for await (const line of lines) {
    const said = line.trim();
    if (said === '/new') messages = [...system];
    else if (said !== '') {
      messages.push({ role: 'user', content: line });
      stop = new AbortController();
      const { text } = await answer({ ...turn, signal: stop.signal }, messages);
      stop = undefined;
      messages.push({ role: 'assistant', content: text });
    }
    if (isTyped) lines.prompt();
  }
}

export async function runCommand(options: Options, out: Output): Promise<void> {
  const prompt = options.text('prompt');
  const system: ChatMessage[] =
    options.text('system') === undefined ? [] : [{ role: 'system', content: options.text('system')! }];
  const limits = limitOptions(options);
  const abort = new AbortController();
  const interrupt = (): void => abort.abort();
  const model = await loadModel(options, out);
  try {
    if (prompt === undefined) {
      await chat({ model, options, limits, out }, system);
      return;
    }
    process.once('SIGINT', interrupt);
    await answer({ model, options, limits, out, signal: abort.signal }, [...system, { role: 'user', content: prompt }]);
  } finally {
    process.off('SIGINT', interrupt);
    await model.dispose();
  }
}
