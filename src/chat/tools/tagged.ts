/** Formats that put each argument between tags of its own. Values are text as it is where the schema says string, else JSON. */
import type { OutputSink, State } from '../output.ts';
import type { FunctionDefinition } from '../types.ts';
import type { ToolFormat } from './format.ts';
import { hermes, readJsonBlock } from './json-block.ts';

const BRACKETS = { open: '<tool_call>', close: '</tool_call>' };

interface Tags {
  readonly name: RegExp;
  /** All arguments: the key and the value. */
  readonly argument: RegExp;
}

const isString = (tool: FunctionDefinition | undefined, key: string): boolean => {
  const properties = tool?.parameters?.properties as Readonly<Record<string, { readonly type?: unknown }>> | undefined;
  const type = properties?.[key]?.type;
  return type === 'string' || (Array.isArray(type) && type.includes('string'));
};

const valueOf = (text: string, tool: FunctionDefinition | undefined, key: string): unknown => {
  if (isString(tool, key)) return text;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
};

function writeCall(body: string, tags: Tags, tools: readonly FunctionDefinition[], sink: OutputSink): boolean {
  const name = tags.name.exec(body)?.[1]?.trim();
  if (!name) return false;
  const tool = tools.find((t) => t.name === name);
  const pairs = [...body.matchAll(tags.argument)].map(([, key, value]) => [key!, valueOf(value!, tool, key!)] as const);
  sink.call(name);
  sink.arguments(JSON.stringify(Object.fromEntries(pairs)));
  return true;
}

function readTagged(tags: Tags, sink: OutputSink, tools: readonly FunctionDefinition[], back: () => State): State {
  let body = '';
  const finish = (end: string): void => {
    if (!writeCall(body, tags, tools, sink)) sink.text(BRACKETS.open + body + end);
  };
  const state: State = {
    markers: [BRACKETS.close],
    text: (text) => void (body += text),
    marker(marker) {
      finish(marker);
      return back();
    },
    end: () => finish(''),
  };
  return state;
}

/** A forced call is JSON, as in Hermes' format: free text between tags cannot be held to a schema. So the first character decides. */
function readEither(tags: Tags, sink: OutputSink, tools: readonly FunctionDefinition[], back: () => State): State {
  let inner: State | null = null;
  let blanks = '';
  const state: State = {
    markers: [BRACKETS.close],
    text(text) {
      blanks += text;
      const first = blanks.trimStart()[0];
      if (!inner && first === undefined) return;
      inner ??= first === '{' ? readJsonBlock(sink, BRACKETS, back) : readTagged(tags, sink, tools, back);
      inner.text(blanks);
      blanks = '';
    },
    marker(marker) {
      const next = inner?.marker(marker);
      return next === undefined ? back() : next === inner ? state : next;
    },
    end: () => inner?.end?.(),
  };
  return state;
}

const tagged = (recognises: ToolFormat['recognises'], tags: Tags): ToolFormat => ({
  recognises,
  openers: [BRACKETS.open],
  read: (sink, tools, back) => readEither(tags, sink, tools, back),
  forced: (tool) => hermes.forced(tool),
});

/** GLM-4.5 and later: `<tool_call>name`, then `<arg_key>k</arg_key><arg_value>v</arg_value>`. */
export const glm = tagged((template) => template.includes('<arg_key>'), {
  name: /^\s*([^\s<]+)/,
  argument: /<arg_key>\s*([^<]*?)\s*<\/arg_key>\s*<arg_value>([\s\S]*?)<\/arg_value>/g,
});

/** Qwen3-Coder, Qwen3.5, Nemotron: `<tool_call><function=name>`, then `<parameter=k>v</parameter>`, values on lines of their own. */
export const qwenCoder = tagged((template) => template.includes('<function='), {
  name: /<function=([^>\s]+)>/,
  argument: /<parameter=([^>]+)>\n?([\s\S]*?)\n?<\/parameter>/g,
});
