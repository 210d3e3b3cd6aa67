/** How the models of one chat template write thoughts and calls, as its text tells. */
import type { Constraint } from '../text/grammar/constraint.ts';
import { harmonyAnswer, harmonyCall, isHarmony, readHarmony } from './harmony.ts';
import { OutputSink, runStates, type OutputParser, type State } from './output.ts';
import type { ToolFormat } from './tools/format.ts';
import { gemma } from './tools/gemma.ts';
import { granite, hermes, mistral } from './tools/json-block.ts';
import { llama } from './tools/llama.ts';
import { deepseekV3, deepseekV31, mistralNamed } from './tools/named.ts';
import { glm, qwenCoder } from './tools/tagged.ts';
import type { FunctionDefinition } from './types.ts';

const FORMATS: readonly ToolFormat[] = [
  glm,
  qwenCoder,
  hermes,
  mistralNamed,
  mistral,
  granite,
  deepseekV3,
  deepseekV31,
  gemma,
  llama,
];

interface Marks {
  readonly open: string;
  readonly close: string;
}
const THOUGHTS: readonly Marks[] = [
  { open: '<think>', close: '</think>' },
  { open: '[THINK]', close: '[/THINK]' },
  { open: '<|channel>thought', close: '<channel|>' },
];

export interface Reading {
  /** Tools that may be called; empty: marks of calls are text like any other. */
  readonly tools: readonly FunctionDefinition[];
  /** How the prompt ends: templates may open the model's thoughts. */
  readonly promptTail: string;
  /** The answer is held to a constraint: marks count before its first character only, since JSON may hold them as text. */
  readonly isForced: boolean;
}

export interface Dialect {
  /** `own`: the template shows tools to the model; `none`: it knows no tools; `unknown`: it does, in a format that is not read here. */
  readonly toolSupport: 'own' | 'none' | 'unknown';
  /** Calls in earlier turns keep their arguments as text: see ToolFormat. */
  readonly isTextual: boolean;
  readonly isHarmony: boolean;
  /** The template has the role `developer`. */
  readonly hasDeveloper: boolean;
  /** Whether marks may be special tokens that the text must show. @param hasTools the request has tools */
  needsSpecial(hasTools: boolean): boolean;
  parser(reading: Reading): OutputParser;
  call(tool: FunctionDefinition): Constraint;
  /** An answer to the reader that is `inner`. */
  answer(inner: Constraint): Constraint;
  /** The whole output of a forced request; a template that has opened the thoughts gets them closed. */
  output(inner: Constraint): Constraint;
}

/** Text outside of thoughts and calls. */
function content(sink: OutputSink, thoughts: Marks | null, format: ToolFormat, reading: Reading): State {
  const openers = reading.tools.length > 0 ? format.openers : [];
  const edge = thoughts && (reading.isForced ? thoughts.close : thoughts.open);
  let isLate = false;
  const state: State = {
    markers: edge === null ? openers : [edge, ...openers],
    text(text) {
      sink.text(text);
      isLate ||= reading.isForced && text.trim() !== '';
    },
    marker(marker) {
      if (isLate) {
        sink.text(marker);
        return state;
      }
      sink.enter('content');
      if (marker === thoughts?.open) return thinking(sink, thoughts, state);
      return marker === thoughts?.close ? state : format.read(sink, reading.tools, () => state);
    },
  };
  return state;
}

function thinking(sink: OutputSink, { close }: Marks, after: State): State {
  sink.enter('reasoning');
  return {
    markers: [close],
    text: (text) => sink.text(text),
    marker() {
      sink.enter('content');
      return after;
    },
  };
}

function parserOf(thoughts: Marks | null, format: ToolFormat, reading: Reading): OutputParser {
  const sink = new OutputSink();
  const plain = content(sink, thoughts, format, reading);
  const mayCall = reading.tools.length > 0 && !reading.isForced;
  const text = mayCall && format.begin ? format.begin(sink, reading.tools, plain) : plain;
  const isOpen = thoughts !== null && !reading.isForced && reading.promptTail.trimEnd().endsWith(thoughts.open);
  return runStates(isOpen ? thinking(sink, thoughts, text) : text, sink);
}

function harmonyParser(): OutputParser {
  const sink = new OutputSink();
  return runStates(readHarmony(sink), sink);
}

const supportOf = (template: string, isKnown: boolean): Dialect['toolSupport'] =>
  /\btools\b/.test(template) ? (isKnown ? 'own' : 'unknown') : 'none';

/** @param template the chat template's source; null: the model has none */
export function dialectOf(template: string | null): Dialect {
  const source = template ?? '';
  const harmony = isHarmony(source);
  const known = FORMATS.find((format) => format.recognises(source));
  const format = known ?? hermes;
  const thoughts = THOUGHTS.find(({ close }) => source.includes(close)) ?? null;
  const closed = (inner: Constraint): Constraint =>
    thoughts ? { anyOf: [inner, { sequence: [`${thoughts.close}\n\n`, inner] }] } : inner;
  return {
    toolSupport: supportOf(source, harmony || known !== undefined),
    isTextual: !harmony && format.isTextual === true,
    isHarmony: harmony,
    hasDeveloper: /['"]developer['"]/.test(source),
    needsSpecial: (hasTools) => harmony || thoughts !== null || (hasTools && known !== undefined),
    parser: (reading) => (harmony ? harmonyParser() : parserOf(thoughts, format, reading)),
    call: (tool) => (harmony ? harmonyCall(tool) : format.forced(tool)),
    answer: (inner) => (harmony ? harmonyAnswer(inner) : inner),
    output: (inner) => (harmony ? inner : closed(inner)),
  };
}
