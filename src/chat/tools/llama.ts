/**
 * Llama 3.1 and later: the whole answer is `{"name": ..., "parameters": {...}}`, several with `;` between them, sometimes after
 * `<|python_tag|>`. An answer that begins as such JSON, with the name of a tool, is a call; any other JSON is text.
 */
import type { OutputSink, State } from '../output.ts';
import type { FunctionDefinition } from '../types.ts';
import { argumentsOf, type ToolFormat } from './format.ts';
import { readJsonBlock } from './json-block.ts';
import { JsonCalls } from './json-calls.ts';

const TAG = '<|python_tag|>';
/** What templates tell the model. */
const RULE = /"parameters": dictionary of argument name/;
/** What may come before the name is known. */
const HEAD = /^\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?"name"\s*:\s*"([^"]*)"/;
/** Longer, it is no head. */
const MOST_HEAD = 64;

/** Calls that began without a mark, up to the end of the answer. */
function readBare(sink: OutputSink): State {
  const calls = new JsonCalls(sink);
  const state: State = {
    markers: [],
    text: (text) => calls.push(text),
    marker: () => state,
    end() {
      const unread = calls.end();
      if (unread !== null) sink.text(unread);
    },
  };
  return state;
}

/** Holds the answer's start back until it is a call's or cannot be one. */
function begin(sink: OutputSink, tools: readonly FunctionDefinition[], text: State): State {
  const longest = MOST_HEAD + Math.max(...tools.map(({ name }) => name.length));
  let held = '';
  let goesOn: State | null = null;
  const go = (to: State): State => {
    goesOn = to;
    if (held) to.text(held);
    return to;
  };
  const decided = (): State | null => {
    const start = held.trimStart();
    const name = HEAD.exec(start.slice(0, longest))?.[1];
    if (name !== undefined) return tools.some((tool) => tool.name === name) ? readBare(sink) : text;
    return (start !== '' && !start.startsWith('{')) || start.length > longest ? text : null;
  };
  return {
    get markers() {
      return goesOn?.markers ?? text.markers;
    },
    text(piece) {
      if (goesOn) return goesOn.text(piece);
      held += piece;
      const to = decided();
      if (to) go(to);
    },
    marker: (marker) => (goesOn ?? go(text)).marker(marker),
    end: () => (goesOn ?? go(text)).end?.(),
  };
}

export const llama: ToolFormat = {
  recognises: (template) => RULE.test(template),
  openers: [TAG],
  begin,
  read: (sink, _tools, back) => readJsonBlock(sink, { open: TAG, close: null }, back),
  forced: (tool) => ({
    sequence: [`${TAG}{"name": ${JSON.stringify(tool.name)}, "parameters": `, argumentsOf(tool), '}'],
  }),
};
