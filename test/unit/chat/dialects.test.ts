/** Every wire format, read from text that is cut at every place. */
import { describe, expect, it } from 'vitest';
import { dialectOf, type Reading } from '../../../src/chat/dialect.ts';
import type { OutputPiece } from '../../../src/chat/output.ts';

const weather = {
  name: 'weather',
  parameters: { type: 'object', properties: { city: { type: 'string' }, days: { type: 'integer' } } },
};
const TOOLS = [weather, { name: 'now' }];

interface Whole {
  content: string;
  reasoning: string;
  calls: { name: string; arguments: string }[];
}

function joined(pieces: readonly OutputPiece[]): Whole {
  const whole: Whole = { content: '', reasoning: '', calls: [] };
  for (const piece of pieces) {
    if (piece.kind === 'call') {
      expect(piece.call).toBe(whole.calls.length);
      whole.calls.push({ name: piece.name, arguments: '' });
    } else if (piece.kind === 'arguments') whole.calls[piece.call]!.arguments += piece.text;
    else whole[piece.kind] += piece.text;
  }
  return whole;
}

function read(template: string, texts: readonly string[], reading: Partial<Reading> = {}): OutputPiece[] {
  const parser = dialectOf(template).parser({ tools: TOOLS, promptTail: '', isForced: false, ...reading });
  return [...texts.flatMap((text) => parser.push(text)), ...parser.end()];
}

/** Cut in two at every place, in characters, and whole: always the same. */
function readAllWays(template: string, text: string, reading: Partial<Reading> = {}): Whole {
  const whole = joined(read(template, [text], reading));
  expect(joined(read(template, [...text], reading))).toEqual(whole);
  for (let i = 1; i < text.length; i++) {
    expect(joined(read(template, [text.slice(0, i), text.slice(i)], reading)), `cut at ${i}`).toEqual(whole);
  }
  return whole;
}

const ARGS = '{"city": "Bärn \\"x\\" }", "days": 3}';
const call = { name: 'weather', arguments: ARGS };
const now = { name: 'now', arguments: '{}' };

const HERMES = `{% if tools %}<tool_call>{{ '</think>' }}{% endif %}`;
const MISTRAL = '{% if tools %}[AVAILABLE_TOOLS]{% endif %}[TOOL_CALLS]';
const DEEPSEEK = `{{ tools }}<｜tool▁calls▁begin｜>`;
const HARMONY = `{{ tools }}<|channel|><|message|>`;
const LLAMA =
  '{{ tools }}{"name": function name, "parameters": dictionary of argument name and its value}<|python_tag|>';
const GEMMA = '{{ tools }}<|channel>thought<channel|><|tool_call>call:<tool_call|>';

it.each([
  [
    'hermes',
    HERMES,
    `<tool_call>\n{"name": "weather", "arguments": ${ARGS}}\n</tool_call>\n<tool_call>{"name":"now","arguments":{}}</tool_call>`,
  ],
  [
    'hermes, arguments first',
    HERMES,
    `<tool_call>{"arguments": ${ARGS}, "name": "weather"}</tool_call><tool_call>{"name":"now"}</tool_call>`,
  ],
  [
    'hermes, arguments as text',
    HERMES,
    `<tool_call>{"name": "weather", "arguments": ${JSON.stringify(ARGS)}}</tool_call><tool_call>{"name":"now","arguments":{}}`,
  ],
  ['mistral', MISTRAL, `[TOOL_CALLS] [{"name": "weather", "arguments": ${ARGS}}, {"name": "now", "arguments": {}}]`],
  ['mistral, named', `${MISTRAL}[ARGS]`, `[TOOL_CALLS]weather[ARGS]${ARGS}[TOOL_CALLS]now[CALL_ID]123456789[ARGS]{}`],
  [
    'granite',
    '{{ tools }}<|tool_call|>',
    `<|tool_call|>[{"name": "weather", "arguments": ${ARGS}}, {"name": "now", "arguments": {}}]`,
  ],
  [
    'deepseek V3',
    `${DEEPSEEK}\`\`\`json`,
    `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n\`\`\`json\n${ARGS}\n\`\`\`<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n\`\`\`json\n{}\n\`\`\`<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
  ],
  [
    'deepseek V3.1',
    DEEPSEEK,
    `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>${ARGS}<｜tool▁call▁end｜><｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
  ],
  [
    'harmony',
    HARMONY,
    `<|channel|>commentary to=functions.weather <|constrain|>json<|message|>${ARGS}<|call|><|start|>assistant to=functions.now<|channel|>commentary json<|message|>{}`,
  ],
  [
    'llama',
    LLAMA,
    `\n{"name": "weather", "parameters": ${ARGS}}; {"type": "function", "name": "now", "parameters": {}}`,
  ],
  [
    'llama, tagged',
    LLAMA,
    `<|python_tag|>{"name": "weather", "parameters": ${ARGS}};{"name": "now", "parameters": {}}`,
  ],
])('reads calls of %s', (_, template, text) => {
  expect(readAllWays(template, text)).toEqual({ content: '', reasoning: '', calls: [call, now] });
});

it.each([
  [
    'glm',
    '{{ tools }}<arg_key>',
    `<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>12 {x}</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>`,
  ],
  [
    'qwen coder',
    '{{ tools }}<function=',
    `<tool_call>\n<function=weather>\n<parameter=city>\n12 {x}\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>`,
  ],
])('reads tagged calls of %s, text as text and the rest as JSON', (_, template, text) => {
  expect(readAllWays(template, `Let me look.\n${text}`)).toEqual({
    content: 'Let me look.',
    reasoning: '',
    calls: [{ name: 'weather', arguments: '{"city":"12 {x}","days":3}' }],
  });
  const forced = `<tool_call>\n{"name": "weather", "arguments": ${ARGS}}\n</tool_call>`;
  expect(readAllWays(template, forced).calls).toEqual([call]);
});

describe('Gemma', () => {
  it('writes values without JSON’s quotes', () => {
    const text = `Wait.<|tool_call>call:weather{city:<|"|>a "b" }<tool_call|>,\n<|"|>,days:3,more:{x:[1,<|"|>y<|"|>,[]],z:{}},ok:true}<tool_call|><|tool_call>call:now{}<tool_call|>`;
    const { content, calls } = readAllWays(GEMMA, text);
    expect(content).toBe('Wait.');
    expect(calls.map(({ name, arguments: of }) => [name, JSON.parse(of) as unknown])).toEqual([
      ['weather', { city: 'a "b" }<tool_call|>,\n', days: 3, more: { x: [1, 'y', []], z: {} }, ok: true }],
      ['now', {}],
    ]);
    expect(readAllWays(GEMMA, `<|tool_call>call:weather${ARGS}<tool_call|>`).calls).toEqual([
      { name: 'weather', arguments: JSON.stringify(JSON.parse(ARGS)) },
    ]);
  });
  it.each([
    '<|tool_call>oh<tool_call|>',
    '<|tool_call>call:now{a}<tool_call|>',
    '<|tool_call>call:now{a:[1',
    '<|tool_call>',
  ])('shows what is no call: %s', (text) => {
    expect(readAllWays(GEMMA, text)).toEqual({ content: text, reasoning: '', calls: [] });
  });
  it('thinks in a channel', () => {
    const text = '<|channel>thought\nHm.\n<channel|>Yes.';
    expect(readAllWays(GEMMA, text)).toEqual({ content: 'Yes.', reasoning: 'Hm.', calls: [] });
  });
});

describe('Llama', () => {
  it.each([
    '{"name": "Bob", "parameters": {}}',
    '{"name": "weath',
    '{"weather": 3}',
    ' {',
    'Call {"name": "now", "parameters": {}}',
    `{${' '.repeat(90)}"name": "now"}`,
  ])('answers with what is no call: %s', (text) => {
    expect(readAllWays(LLAMA, text)).toEqual({ content: text, reasoning: '', calls: [] });
  });
  it('keeps JSON that was asked for', () => {
    const text = '{"name": "now", "parameters": {}}';
    expect(readAllWays(LLAMA, text, { isForced: true }).content).toBe(text);
    expect(readAllWays(LLAMA, `<|python_tag|>${text}`, { isForced: true }).calls).toEqual([now]);
  });
});

describe('arguments', () => {
  it('arrive while they are written', () => {
    const [open, rest] = [`<tool_call>{"name": "weather", "arguments": {"city": "B`, `"}}</tool_call>`];
    const parser = dialectOf(HERMES).parser({ tools: TOOLS, promptTail: '', isForced: false });
    expect(parser.push(open)).toEqual([
      { kind: 'call', call: 0, name: 'weather' },
      { kind: 'arguments', call: 0, text: '{"city": "B' },
    ]);
    expect(joined([{ kind: 'call', call: 0, name: 'weather' }, ...parser.push(rest)]).calls[0]!.arguments).toBe('"}');
  });
  it('arrive in every character', () => {
    const parser = dialectOf(HERMES).parser({ tools: TOOLS, promptTail: '', isForced: false });
    const pieces = [...`<tool_call>{"name": "weather", "arguments": ${ARGS}}`].flatMap((c) => parser.push(c));
    expect(pieces.filter(({ kind }) => kind === 'arguments')).toHaveLength(ARGS.length);
  });
  it('may hold a marker in a string', () => {
    const text = `<tool_call>{"name": "weather", "arguments": {"city": "</tool_call>"}}</tool_call>`;
    expect(readAllWays(HERMES, text).calls).toEqual([{ name: 'weather', arguments: '{"city": "</tool_call>"}' }]);
    const harmony = `<|channel|>commentary to=functions.weather<|message|>{"city": "<|end|>"}`;
    expect(readAllWays(HARMONY, harmony).calls).toEqual([{ name: 'weather', arguments: '{"city": "<|end|>"}' }]);
  });
});

describe('text', () => {
  it('around calls stays, without the blanks at the border', () => {
    const text = `One moment.\n\n<tool_call>{"name": "now", "arguments": {}}</tool_call>\nThere.`;
    expect(readAllWays(HERMES, text)).toEqual({ content: 'One moment.There.', reasoning: '', calls: [now] });
  });
  it('that is no call is shown as it is', () => {
    expect(readAllWays(HERMES, '<tool_call>oh</tool_call> no').content).toBe('<tool_call>oh</tool_call> no');
    expect(readAllWays(HERMES, '<tool_call>{"x": 1}').content).toBe('<tool_call>{"x": 1}');
    expect(readAllWays(MISTRAL, '[TOOL_CALLS] none').content).toBe('[TOOL_CALLS] none');
    expect(readAllWays(HERMES, ' a < b <tool \n').content).toBe(' a < b <tool \n');
  });
  it('of a request without tools has no calls', () => {
    const text = '<tool_call>{"name": "now"}</tool_call>';
    expect(readAllWays(HERMES, text, { tools: [] })).toEqual({ content: text, reasoning: '', calls: [] });
  });
  it('that is forced keeps marks inside it', () => {
    const text = '{"a": "<think>x</think><tool_call>{}"}';
    expect(readAllWays(HERMES, text, { isForced: true }).content).toBe(text);
    expect(readAllWays(HERMES, `</think>\n\n${text}`, { isForced: true, promptTail: '<think>\n' }).content).toBe(text);
  });
});

describe('thoughts', () => {
  it.each([
    ['<think>', '</think>', ''],
    ['', '</think>', '<|assistant|>\n<think>\n'],
  ])('between %s and %s after %s', (open, close, promptTail) => {
    const text = `${open}\nHm < 3.\n${close}\n\nYes.`;
    expect(readAllWays(HERMES, text, { promptTail })).toEqual({ content: 'Yes.', reasoning: 'Hm < 3.', calls: [] });
  });
  it('of Mistral', () => {
    expect(readAllWays('[THINK][/THINK]', '[THINK]Hm[/THINK]Yes')).toMatchObject({ content: 'Yes', reasoning: 'Hm' });
  });
  it('of harmony', () => {
    const text =
      '<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.\n<|return|>';
    expect(readAllWays(HARMONY, text)).toEqual({ content: 'Yes.\n', reasoning: 'Hm.', calls: [] });
  });
  it('are text where the template marks none', () => {
    expect(readAllWays('', '<think>Hm</think>').content).toBe('<think>Hm</think>');
  });
});

it('tells by the template whether tools are known, unknown or not there', () => {
  expect(dialectOf(null).toolSupport).toBe('none');
  expect(dialectOf('{% for m in messages %}').toolSupport).toBe('none');
  expect(dialectOf(HERMES).toolSupport).toBe('own');
  expect(dialectOf(HARMONY).toolSupport).toBe('own');
  expect(dialectOf('{{ tools }}<|python_tag|>').toolSupport).toBe('unknown');
});
