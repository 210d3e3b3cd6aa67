/** How a model writes calls of tools: one file per wire format, recognised by the chat template's text. */
import type { Constraint, JsonSchema } from '../../text/grammar/constraint.ts';
import type { OutputSink, State } from '../output.ts';
import type { FunctionDefinition } from '../types.ts';

export interface ToolFormat {
  /** @param template the chat template's source */
  recognises(template: string): boolean;
  /** Text that begins calls. */
  readonly openers: readonly string[];
  /** Where calls have no opener: reads an answer from its first character. @param text goes on when it is no call */
  begin?(sink: OutputSink, tools: readonly FunctionDefinition[], text: State): State;
  /** Reads calls from the text after an opener. @param back goes on where the calls end */
  read(sink: OutputSink, tools: readonly FunctionDefinition[], back: () => State): State;
  /** Text that is one call of this tool, arguments as its schema says. */
  forced(tool: FunctionDefinition): Constraint;
  /** What templates of this format want of calls in earlier turns: arguments as text, and no content as null. */
  readonly isTextual?: boolean;
}

/** The schema of a tool's arguments; a tool without one takes any object. */
export const argumentsOf = ({ parameters }: FunctionDefinition): Constraint =>
  parameters ? { schema: parameters as JsonSchema } : { json: 'object' };

/** `{"name": "x", "arguments": {...}}` */
export const jsonCall = (tool: FunctionDefinition): Constraint => ({
  sequence: [`{"name": ${JSON.stringify(tool.name)}, "arguments": `, argumentsOf(tool), '}'],
});
