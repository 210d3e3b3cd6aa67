/** Formats that write the tool's name outside of the JSON of its arguments. */
import type { OutputSink, State } from '../output.ts';
import { argumentsOf, type ToolFormat } from './format.ts';
import { ObjectText } from './json-calls.ts';

/** Arguments of a call that has begun, up to a marker outside of any string. */
export function readArguments(sink: OutputSink, markers: readonly string[], next: (marker: string) => State): State {
  const object = new ObjectText();
  const state: State = {
    markers,
    text: (text) => sink.arguments(object.push(text)),
    marker(marker) {
      if (!object.inString) return next(marker);
      state.text(marker);
      return state;
    },
  };
  return state;
}

const ARGS = '[ARGS]';
const CALLS = '[TOOL_CALLS]';

function mistralHeader(sink: OutputSink): State {
  let name = '';
  return {
    markers: [ARGS],
    text: (text) => void (name += text),
    marker() {
      sink.call(name.replace(/\[CALL_ID\].*$/s, '').trim());
      return readArguments(sink, [CALLS], () => mistralHeader(sink));
    },
    end: () => sink.text(CALLS + name),
  };
}

/** Mistral since version 11 of its tokenizers: `[TOOL_CALLS]name[ARGS]{...}`, again for each call. */
export const mistralNamed: ToolFormat = {
  recognises: (template) => template.includes(CALLS) && template.includes(ARGS),
  openers: [CALLS],
  read: (sink) => mistralHeader(sink),
  forced: (tool) => ({ sequence: [CALLS + tool.name + ARGS, argumentsOf(tool)] }),
};

const BEGIN = '<｜tool▁call▁begin｜>';
const SEPARATOR = '<｜tool▁sep｜>';
const END = '<｜tool▁call▁end｜>';
const ALL_BEGIN = '<｜tool▁calls▁begin｜>';
const ALL_END = '<｜tool▁calls▁end｜>';

/** V3 and R1 write `function`, the separator, the name, a new line and a fenced block; V3.1 the name, the separator and the object. */
function deepseekCall(sink: OutputSink, after: () => State): State {
  let header = '';
  const named = (name: string): State => {
    sink.call(name);
    return readArguments(sink, [END], after);
  };
  const nameLine = (): State => {
    let name = '';
    return {
      markers: ['\n'],
      text: (text) => void (name += text),
      marker: () => named(name.trim()),
      end: () => sink.text(BEGIN + header + SEPARATOR + name),
    };
  };
  return {
    markers: [SEPARATOR],
    text: (text) => void (header += text),
    marker: () => (header.trim() === 'function' ? nameLine() : named(header.trim())),
    end: () => sink.text(BEGIN + header),
  };
}

function deepseekCalls(sink: OutputSink, back: () => State): State {
  const between: State = {
    markers: [BEGIN, ALL_END],
    text: () => undefined,
    marker: (marker) => (marker === BEGIN ? deepseekCall(sink, () => between) : back()),
  };
  return between;
}

const deepseek = (isOld: boolean): ToolFormat => ({
  recognises: (template) => template.includes(ALL_BEGIN) && isOld === template.includes('```json'),
  openers: [ALL_BEGIN],
  read: (sink, _tools, back) => deepseekCalls(sink, back),
  forced: (tool) => ({
    sequence: [
      ALL_BEGIN + BEGIN + (isOld ? `function${SEPARATOR}${tool.name}\n\`\`\`json\n` : tool.name + SEPARATOR),
      argumentsOf(tool),
      (isOld ? '\n```' : '') + END + ALL_END,
    ],
  }),
  isTextual: true,
});

/** DeepSeek-V3 and R1. */
export const deepseekV3 = deepseek(true);
/** DeepSeek-V3.1 and later. */
export const deepseekV31 = deepseek(false);
