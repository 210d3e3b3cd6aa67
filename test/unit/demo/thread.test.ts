import { beforeEach, describe, expect, it } from 'vitest';
import { Library } from '../../../demo/conversations/library.ts';
import { Thread, type Outcome } from '../../../demo/conversations/thread.ts';
import type { Message } from '../../../demo/conversations/types.ts';
import type { ChatModel } from '../../../demo/engine.ts';
import {
  InvalidRequest,
  SourceError,
  type GenerateOptions,
  type GenerateSummary,
  type StepEvent,
} from '../../../src/index.ts';

type Request = { readonly prompt: unknown; readonly options: GenerateOptions };
type Script = (request: Request) => Partial<GenerateSummary> | Promise<Partial<GenerateSummary>>;

let requests: Request[];
let library: Library;
let steps: (event: StepEvent) => void;
beforeEach(() => {
  requests = [];
  library = new Library();
});

/** Says what the script gives, as one token. */
function threadOf(script: Script, id: string | null = null, contextLength = 100): Thread {
  const model = {
    plan: { contextLength },
    onStep: (listener: (event: StepEvent) => void) => {
      steps = listener;
      return () => undefined;
    },
    async *generate(prompt: unknown, options: GenerateOptions) {
      const request = { prompt: structuredClone(prompt), options };
      requests.push(request);
      const { text = '', ...summary } = await script(request);
      if (text) yield { id: 1, text, logprob: 0, routing: [] };
      return {
        finishReason: 'stop',
        promptTokens: 10,
        cachedTokens: 4,
        generatedTokens: 1,
        seed: 7,
        timeToFirstTokenMs: 250,
        tokensPerSecond: null,
        approximations: [],
        text,
        ...summary,
      };
    },
  } as unknown as ChatModel;
  return new Thread({ library, model, modelName: 'tiny' }, id);
}

const silent = { onText: () => undefined, onPrompt: () => undefined };
const answers =
  (...texts: string[]): Script =>
  () => ({ text: texts.shift() ?? 'more' });
const contents = (thread: Thread): string[] => thread.path.map((m) => m.content);

function say(thread: Thread, text: string): Promise<Outcome> {
  return thread.answer(thread.ask(text), silent);
}

describe('a conversation', () => {
  it('sends the branch that is shown, with the system prompt and the settings', async () => {
    const thread = threadOf(answers('answer 1', 'answer 2'));
    await thread.setInfo({ system: 'Be brief.', settings: { temperature: 0.5, maxTokens: 9 } });
    await say(thread, 'one');
    await say(thread, 'two');
    expect(requests[1]!.prompt).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'answer 1' },
      { role: 'user', content: 'two' },
    ]);
    expect(requests[1]!.options).toMatchObject({ temperature: 0.5, maxTokens: 9 });
    expect(requests[1]!.options).not.toHaveProperty('continueFinal');
    expect(library.all.map(({ info }) => [info.title, info.model])).toEqual([['one', 'tiny']]);
  });

  it('is not stored before its first question', async () => {
    const thread = threadOf(answers());
    await thread.setInfo({ system: 'x' });
    expect(library.all).toEqual([]);
    expect(thread.info.system).toBe('x');
  });

  it('makes a branch of every edit and every other answer, and shows the one that is chosen', async () => {
    const thread = threadOf(answers('A', 'B', 'C'));
    await say(thread, 'one');
    const [question, first] = thread.path as [Message, Message];
    await thread.answer(question, silent);
    expect(contents(thread)).toEqual(['one', 'B']);
    const edited = thread.edit(question, 'other');
    await thread.answer(edited, silent);
    expect(contents(thread)).toEqual(['other', 'C']);
    expect(thread.beside(edited).map((m) => m.content)).toEqual(['one', 'other']);
    await thread.show(question.id);
    expect(contents(thread)).toEqual(['one', 'B']);
    await thread.show(first.id);
    expect(contents(thread)).toEqual(['one', 'A']);
    const own = thread.edit(first, 'A, better');
    expect([own.state, contents(thread)]).toEqual(['edited', ['one', 'A, better']]);
    expect(thread.messages).toHaveLength(6);
    expect(threadOf(answers(), thread.info.id).path.map((m) => m.content)).toEqual(['one', 'A, better']);
  });

  it('goes on with a stopped answer', async () => {
    const script = [{ text: 'half', finishReason: 'abort' as const }, { text: ' and whole' }];
    const thread = threadOf(() => script.shift()!);
    await say(thread, 'one');
    const half = thread.path[1]!;
    expect(half.state).toBe('stopped');
    await thread.goOn(half, silent);
    expect(requests[1]!.prompt).toEqual([
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'half' },
    ]);
    expect(requests[1]!.options.continueFinal).toBe(true);
    expect(thread.path[1]).toMatchObject({ id: half.id, content: 'half and whole', state: 'complete' });
    expect(thread.path[1]!.figures?.generatedTokens).toBe(2);
  });

  it('keeps what was said before an error, and shows the old answer again when nothing was', async () => {
    const thread = threadOf(async ({ options }) => {
      if (requests.length === 2) throw new SourceError('gone');
      if (requests.length === 3) return { text: '', finishReason: options.signal ? 'abort' : 'stop' };
      return { text: 'A' };
    });
    await say(thread, 'one');
    const question = thread.path[0]!;
    expect(await thread.answer(question, silent)).toMatchObject({ kind: 'failed', message: null });
    expect(contents(thread)).toEqual(['one', 'A']);
    expect(await thread.answer(question, silent)).toEqual({ kind: 'nothing' });
    expect(contents(thread)).toEqual(['one', 'A']);
    expect(thread.isBusy).toBe(false);
  });

  it('asks beside a question that was never answered', async () => {
    const thread = threadOf(() => {
      if (requests.length === 1) throw new InvalidRequest('too long', {});
      return { text: 'A' };
    });
    await say(thread, 'long');
    await say(thread, 'short');
    expect(requests[1]!.prompt).toEqual([{ role: 'user', content: 'short' }]);
    expect(thread.beside(thread.path[0]!).map((m) => m.content)).toEqual(['long', 'short']);
  });

  it('removes a message with its branch, and puts it back', async () => {
    const thread = threadOf(answers('A', 'B', 'C'));
    await say(thread, 'one');
    await thread.answer(thread.path[0]!, silent);
    await say(thread, 'two');
    const whole = thread.messages;
    const putBack = await thread.remove(thread.path[1]!);
    expect(contents(thread)).toEqual(['one', 'A']);
    expect(thread.messages).toHaveLength(2);
    await putBack();
    expect(thread.messages).toEqual(whole);
    expect(contents(thread)).toEqual(['one', 'B', 'two', 'C']);
    const all = await thread.remove(thread.path[0]!);
    expect([library.all, thread.path]).toEqual([[], []]);
    await all();
    expect(contents(thread)).toEqual(['one', 'B', 'two', 'C']);
  });

  it('tells a full context from a long answer', async () => {
    const full = await say(
      threadOf(() => ({ text: 'x', finishReason: 'length', promptTokens: 60, generatedTokens: 40 })),
      'a',
    );
    expect(full).toMatchObject({ contextFull: true, message: { state: 'cut' } });
    const roomy = await say(
      threadOf(() => ({ text: 'x', finishReason: 'length', promptTokens: 10, generatedTokens: 40 })),
      'a',
    );
    expect(roomy).toMatchObject({ contextFull: false });
  });

  it('closing waits until a stopped answer is stored', async () => {
    const thread = threadOf(
      ({ options }) =>
        new Promise((resolve) =>
          options.signal!.addEventListener('abort', () => resolve({ text: 'part', finishReason: 'abort' })),
        ),
    );
    const said = say(thread, 'a');
    await thread.close();
    await said;
    expect(library.all[0]!.messages.map((m) => [m.content, m.state])).toEqual([
      ['a', 'complete'],
      ['part', 'stopped'],
    ]);
  });

  it('counts hits and bytes of the tokens of an answer, not of its prompt', async () => {
    const step = { bytes: { memory: 10, disk: 20, network: 0 }, layers: [{ needed: 4, hits: 3 }], tokens: 1 };
    const thread = threadOf(() => {
      steps({ ...step, phase: 'prefill', layers: [{ needed: 9, hits: 0 }] } as unknown as StepEvent);
      steps({ ...step, phase: 'decode' } as unknown as StepEvent);
      steps({ ...step, phase: 'decode', layers: [{ needed: 4, hits: 4 }] } as unknown as StepEvent);
      return { text: 'A' };
    });
    await say(thread, 'one');
    expect(thread.path[1]!.figures).toMatchObject({ hitRate: 7 / 8, bytesPerToken: 30, seed: 7, model: 'tiny' });
  });
});
