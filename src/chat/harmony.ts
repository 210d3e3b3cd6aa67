/**
 * gpt-oss' format: an answer is several messages, each `<|channel|>NAME<|message|>TEXT<|end|>`; thoughts are in the channel `analysis`, calls
 * name their goal (`to=functions.x`) in the header. The prompt ends with `<|start|>assistant`.
 */
import type { Constraint } from '../text/grammar/constraint.ts';
import type { OutputSink, State } from './output.ts';
import { argumentsOf } from './tools/format.ts';
import { readArguments } from './tools/named.ts';
import type { FunctionDefinition } from './types.ts';

export const isHarmony = (template: string): boolean =>
  template.includes('<|channel|>') && template.includes('<|message|>');

const ENDS = ['<|end|>', '<|call|>', '<|return|>', '<|start|>'];

function body(header: string, sink: OutputSink): State {
  const goal = /\bto=(?:functions\.)?([^\s<]+)/.exec(header)?.[1];
  if (goal !== undefined) {
    sink.call(goal);
    return readArguments(sink, ENDS, () => readHarmony(sink));
  }
  sink.enter(/<\|channel\|>\s*analysis/.test(header) ? 'reasoning' : 'content');
  return { markers: ENDS, text: (text) => sink.text(text), marker: () => readHarmony(sink) };
}

/** Headers are not shown; an answer that has none at all is text like any other. */
export function readHarmony(sink: OutputSink): State {
  let header = '';
  return {
    markers: ['<|message|>'],
    text: (text) => void (header += text),
    marker: () => body(header, sink),
    end() {
      if (!header.includes('<|') && !/^(assistant)?$/.test(header.trim())) sink.text(header);
    },
  };
}

export const harmonyAnswer = (inner: Constraint): Constraint => ({
  sequence: ['<|channel|>final<|message|>', inner],
});

export const harmonyCall = (tool: FunctionDefinition): Constraint => ({
  sequence: [`<|channel|>commentary to=functions.${tool.name} <|constrain|>json<|message|>`, argumentsOf(tool)],
});
