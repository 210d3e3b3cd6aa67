/** A request in OpenAI's shape, checked, as what a model is asked. */
import type { GenerateOptions } from '../engine/generation.ts';
import type { ChatMessage } from '../text/chat-template.ts';
import type { Constraint, JsonSchema } from '../text/grammar/constraint.ts';
import { InvalidRequest } from '../errors.ts';
import { checkCount, checkFlag, checkKeys, checkObject, checkText, isObject, refuseField } from './check.ts';
import type { Dialect } from './dialect.ts';
import { templateMessages } from './messages.ts';
import { MOE_KEYS, type ChatRequest, type FunctionDefinition, type MoeRequest } from './types.ts';

/** Our names of numbers that go through as they are. */
const NUMBERS = {
  temperature: 'temperature',
  top_p: 'topP',
  top_k: 'topK',
  min_p: 'minP',
  frequency_penalty: 'frequencyPenalty',
  presence_penalty: 'presencePenalty',
  repetition_penalty: 'repetitionPenalty',
} as const;

/** The compiler counts them: a field of ChatRequest that is in neither list would be refused. */
const OTHERS: Readonly<Record<Exclude<keyof ChatRequest, keyof typeof NUMBERS>, true>> = {
  messages: true,
  model: true,
  stream: true,
  stream_options: true,
  max_completion_tokens: true,
  max_tokens: true,
  stop: true,
  seed: true,
  logit_bias: true,
  logprobs: true,
  top_logprobs: true,
  n: true,
  tools: true,
  tool_choice: true,
  parallel_tool_calls: true,
  response_format: true,
  reasoning_effort: true,
  chat_template_kwargs: true,
  continue_final_message: true,
  add_generation_prompt: true,
  moe: true,
  adapter: true,
  user: true,
  metadata: true,
};
const KNOWN: readonly string[] = Object.keys({ ...OTHERS, ...NUMBERS });

export interface Asked {
  readonly messages: readonly ChatMessage[];
  /** Of every choice; the seed is each choice's own. */
  readonly options: Omit<GenerateOptions, 'seed' | 'signal'>;
  readonly seed: number;
  readonly choices: number;
  /** That may be called. */
  readonly tools: readonly FunctionDefinition[];
  readonly isForced: boolean;
  /** A second call ends the answer. */
  readonly oneCall: boolean;
  readonly logprobs: boolean;
  readonly moe: boolean;
  readonly includeUsage: boolean;
}

function checkTools(value: unknown): readonly FunctionDefinition[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) return refuseField('tools', 'must be a list');
  const tools = value.map((tool: unknown, i): FunctionDefinition => {
    const { type, function: target } = checkObject(tool, `tools[${i}]`);
    if (type !== 'function') refuseField(`tools[${i}].type`, `must be "function", got ${JSON.stringify(type)}`);
    const field = `tools[${i}].function`;
    const { name, description, parameters } = checkObject(target, field);
    if (!/^[\w-]{1,64}$/.test(checkText(name, `${field}.name`))) {
      refuseField(`${field}.name`, 'must be 1 to 64 letters, digits, underscores or dashes', name);
    }
    return {
      name: name as string,
      ...(description !== undefined &&
        description !== null && { description: checkText(description, `${field}.description`) }),
      ...(parameters !== undefined &&
        parameters !== null && { parameters: checkObject(parameters, `${field}.parameters`) }),
    };
  });
  const repeated = tools.find((tool, i) => tools.findIndex((t) => t.name === tool.name) !== i);
  if (repeated) refuseField('tools', `has two functions named ${repeated.name}`);
  return tools;
}

/** The tools that a call must choose from; null: none needs to be called. */
function forcedTools(choice: unknown, tools: readonly FunctionDefinition[]): readonly FunctionDefinition[] | null {
  if (choice === undefined || choice === null || choice === 'auto' || choice === 'none') return null;
  if (choice === 'required') return tools.length > 0 ? tools : refuseField('tool_choice', '"required" needs tools');
  const target = isObject(choice) && choice.type === 'function' && isObject(choice.function) ? choice.function : null;
  if (!target) return refuseField('tool_choice', 'must be "none", "auto", "required" or a function by name', choice);
  const named = tools.find(({ name }) => name === target.name);
  return named ? [named] : refuseField('tool_choice', `names ${JSON.stringify(target.name)}, which is not in tools`);
}

function formatConstraint(format: unknown): Constraint | null {
  if (format === undefined || format === null) return null;
  const { type, json_schema: given } = checkObject(format, 'response_format');
  if (type === 'text') return null;
  if (type === 'json_object') return { json: 'object' };
  if (type !== 'json_schema') {
    return refuseField('response_format.type', 'must be "text", "json_object" or "json_schema"', type);
  }
  const { schema } = checkObject(given, 'response_format.json_schema');
  return { schema: checkObject(schema, 'response_format.json_schema.schema') as JsonSchema };
}

const anyOf = (all: readonly Constraint[]): Constraint => (all.length === 1 ? all[0]! : { anyOf: all });

/** What the whole output must be: a call that is required, or an answer in a format, which may still be a call. */
function constraintOf(
  request: Readonly<Record<string, unknown>>,
  tools: readonly FunctionDefinition[],
  dialect: Dialect,
): Constraint | null {
  const forced = forcedTools(request.tool_choice, tools);
  const format = formatConstraint(request.response_format);
  const calls = (list: readonly FunctionDefinition[]): Constraint[] => list.map((tool) => dialect.call(tool));
  if (forced) return dialect.output(anyOf(calls(forced)));
  return format && dialect.output(anyOf([dialect.answer(format), ...calls(tools)]));
}

function stopsOf(stop: unknown): readonly string[] | undefined {
  if (stop === undefined || stop === null) return undefined;
  const list: readonly unknown[] = Array.isArray(stop) ? stop : [stop];
  return list.map((one) => checkText(one, 'stop'));
}

function biasOf(bias: unknown): Readonly<Record<number, number>> | undefined {
  if (bias === undefined || bias === null) return undefined;
  const entries = Object.entries(checkObject(bias, 'logit_bias')).map(([id, value]) => {
    if (!/^\d+$/.test(id)) refuseField('logit_bias', `${JSON.stringify(id)} is no token id`);
    if (typeof value !== 'number') refuseField('logit_bias', `the bias of token ${id} must be a number`, value);
    return [Number(id), value] as const;
  });
  return Object.fromEntries(entries);
}

function numbersOf(request: Readonly<Record<string, unknown>>): Readonly<Record<string, number>> {
  const given = Object.entries(NUMBERS).filter(([field]) => request[field] !== undefined && request[field] !== null);
  return Object.fromEntries(
    given.map(([field, ours]) => {
      const value = request[field];
      return [ours, typeof value === 'number' ? value : refuseField(field, 'must be a number', value)];
    }),
  );
}

function logprobsOf(request: Readonly<Record<string, unknown>>): { readonly on: boolean; readonly top: number } {
  const on = checkFlag(request.logprobs, 'logprobs') ?? false;
  const top = checkCount(request.top_logprobs, 'top_logprobs', 0, 20) ?? 0;
  if (top > 0 && !on) refuseField('top_logprobs', 'needs "logprobs": true');
  return { on, top };
}

function moeOf(value: unknown): MoeRequest | null {
  if (value === undefined || value === null) return null;
  const moe = checkObject(value, 'moe');
  checkKeys(moe, MOE_KEYS, 'moe.');
  return Object.fromEntries(Object.entries(moe).filter(([, inner]) => inner !== undefined && inner !== null));
}

/** Only what the request gives is in the result, so that a model that is asked for nothing special does nothing special. */
function given<T extends object>(fields: { readonly [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}

function templateOf(
  request: Readonly<Record<string, unknown>>,
  tools: readonly FunctionDefinition[],
  dialect: Dialect,
): GenerateOptions['template'] {
  const variables = {
    ...(request.chat_template_kwargs ? checkObject(request.chat_template_kwargs, 'chat_template_kwargs') : {}),
    ...(request.reasoning_effort ? { reasoning_effort: checkText(request.reasoning_effort, 'reasoning_effort') } : {}),
    ...(tools.length > 0 && dialect.toolSupport === 'own'
      ? { tools: tools.map((tool) => ({ type: 'function', function: tool })) }
      : {}),
  };
  return Object.keys(variables).length > 0 ? variables : undefined;
}

/** Whether the last message is gone on with. The two fields say the same, as in vLLM: one of them is true. */
function continuesOf(request: Readonly<Record<string, unknown>>): boolean {
  const goesOn = checkFlag(request.continue_final_message, 'continue_final_message') ?? false;
  const prompt = checkFlag(request.add_generation_prompt, 'add_generation_prompt');
  if (goesOn && prompt === true)
    refuseField('add_generation_prompt', 'must be false or left out with "continue_final_message": true', true);
  if (!goesOn && prompt === false)
    refuseField('add_generation_prompt', 'can be false with "continue_final_message": true only', false);
  return goesOn;
}

function limitOf(request: Readonly<Record<string, unknown>>): number | undefined {
  const older = checkCount(request.max_tokens, 'max_tokens', 1, Infinity);
  return checkCount(request.max_completion_tokens, 'max_completion_tokens', 1, Infinity) ?? older;
}

/** @throws InvalidRequest naming the field that is wrong, or that is not supported */
export function readRequest(request: unknown, dialect: Dialect): Asked {
  if (!isObject(request)) throw new InvalidRequest('A request must be an object with messages', {});
  checkKeys(request, KNOWN);
  const all = checkTools(request.tools);
  const tools = request.tool_choice === 'none' ? [] : all;
  if (tools.length > 0 && dialect.toolSupport === 'unknown') {
    refuseField('tools', "this model's chat template writes calls in a format that is not supported");
  }
  const constraint = constraintOf(request, tools, dialect);
  const logprobs = logprobsOf(request);
  const moe = moeOf(request.moe);
  const stream = request.stream_options ? checkObject(request.stream_options, 'stream_options') : {};
  checkKeys(stream, ['include_usage'], 'stream_options.');
  return {
    messages: templateMessages(request.messages, tools, dialect),
    options: {
      ...numbersOf(request),
      ...given<GenerateOptions>({
        maxTokens: limitOf(request),
        stop: stopsOf(request.stop),
        logitBias: biasOf(request.logit_bias),
        topLogprobs: logprobs.top || undefined,
        constraint: constraint ?? undefined,
        adapter: request.adapter ? checkText(request.adapter, 'adapter') : undefined,
        template: templateOf(request, tools, dialect),
        continueFinal: continuesOf(request) || undefined,
        keepSpecial: dialect.needsSpecial(tools.length > 0) || undefined,
      }),
      ...moe,
    },
    seed: seedOf(request.seed),
    choices: checkCount(request.n, 'n', 1, 128) ?? 1,
    tools,
    isForced: constraint !== null,
    oneCall: checkFlag(request.parallel_tool_calls, 'parallel_tool_calls') === false,
    logprobs: logprobs.on,
    moe: moe !== null,
    includeUsage: checkFlag(stream.include_usage, 'stream_options.include_usage') ?? false,
  };
}

/** Drawn here where none is given, since the choices count on from it. */
function seedOf(value: unknown): number {
  if (value === undefined || value === null) return crypto.getRandomValues(new Uint32Array(1))[0]!;
  return Number.isSafeInteger(value) ? (value as number) : refuseField('seed', 'must be a whole number', value);
}
