/** Formats that put JSON with a name and arguments between two markers. */
import type { OutputSink, State } from '../output.ts';
import { jsonCall, type ToolFormat } from './format.ts';
import { JsonCalls } from './json-calls.ts';

export interface Brackets {
  readonly open: string;
  /** null: calls go on to the end of the answer. */
  readonly close: string | null;
}

/** @param raw what stands before the JSON: shown with it when no call can be read */
export function readJsonBlock(sink: OutputSink, { open, close }: Brackets, back: () => State): State {
  const calls = new JsonCalls(sink);
  const finish = (end: string): void => {
    const unread = calls.end();
    if (unread !== null) sink.text(open + unread + end);
  };
  const state: State = {
    markers: close === null ? [] : [close],
    text: (text) => calls.push(text),
    marker(marker) {
      if (calls.inString) {
        calls.push(marker);
        return state;
      }
      finish(marker);
      return back();
    },
    end: () => finish(''),
  };
  return state;
}

const jsonBlock = (
  recognises: ToolFormat['recognises'],
  brackets: Brackets,
  list: readonly [string, string],
): ToolFormat => ({
  recognises,
  openers: [brackets.open],
  read: (sink, _tools, back) => readJsonBlock(sink, brackets, back),
  forced: (tool) => ({ sequence: [brackets.open + list[0], jsonCall(tool), list[1] + (brackets.close ?? '')] }),
});

/** Hermes, Qwen, Granite 4: `<tool_call>{...}</tool_call>`, one call each. Also what models without tools in their template are asked to write. */
export const hermes = jsonBlock(
  (template) => template.includes('<tool_call>') && !/<arg_key>|<function=/.test(template),
  { open: '<tool_call>', close: '</tool_call>' },
  ['\n', '\n'],
);

/** Mistral until version 7 of its tokenizers: `[TOOL_CALLS] [{...}, {...}]`. */
export const mistral = jsonBlock(
  (template) => template.includes('[TOOL_CALLS]') && !template.includes('[ARGS]'),
  { open: '[TOOL_CALLS]', close: null },
  [' [', ']'],
);

/** Granite 3: `<|tool_call|>[{...}, {...}]`. */
export const granite = jsonBlock(
  (template) => template.includes('<|tool_call|>'),
  { open: '<|tool_call|>', close: null },
  ['[', ']'],
);
