/** Gemma 4: `<|tool_call>call:name{key:<|"|>text<|"|>,n:3,xs:[1,2]}<tool_call|>`, one call each. A forced call has JSON between the same marks. */
import type { OutputSink, State } from '../output.ts';
import { argumentsOf, type ToolFormat } from './format.ts';

const OPEN = '<|tool_call>';
const CLOSE = '<tool_call|>';
/** Around texts, in place of quotes; nothing inside is escaped. */
const QUOTE = '<|"|>';

const parsed = (json: string): unknown => {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
};

/** Texts between their marks become JSON's; outside of them, keys get their quotes. */
const asJson = (text: string): string =>
  text
    .split(QUOTE)
    .map((part, i) => (i % 2 ? JSON.stringify(part) : part.replace(/([{,]\s*)([^\s"{}[\],:]+)\s*:/g, '$1"$2":')))
    .join('');

const isOpen = (body: string): boolean => body.split(QUOTE).length % 2 === 0;

function readCall(sink: OutputSink, back: () => State): State {
  let body = '';
  const finish = (end: string): void => {
    const [, name, rest] = /^\s*call:\s*([^\s{]+)\s*(\{[^]*)$/.exec(body) ?? [];
    const value = rest === undefined ? null : (parsed(rest) ?? parsed(asJson(rest)));
    if (name === undefined || value === null) return sink.text(OPEN + body + end);
    sink.call(name);
    sink.arguments(JSON.stringify(value));
  };
  const state: State = {
    markers: [CLOSE],
    text: (text) => void (body += text),
    marker(marker) {
      if (isOpen(body)) {
        body += marker;
        return state;
      }
      finish(marker);
      return back();
    },
    end: () => finish(''),
  };
  return state;
}

export const gemma: ToolFormat = {
  recognises: (template) => template.includes(OPEN) && template.includes(CLOSE),
  openers: [OPEN],
  read: (sink, _tools, back) => readCall(sink, back),
  forced: (tool) => ({ sequence: [`${OPEN}call:${tool.name}`, argumentsOf(tool), CLOSE] }),
};
