import { Template } from '@huggingface/jinja';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { InvalidCheckpoint, InvalidRequest } from '../../../src/errors.ts';
import { loadChatTemplate, type ChatMessage, type RenderOptions } from '../../../src/text/chat-template.ts';
import { Budget, TEMPLATE_LIMITS } from '../../../src/text/template/budget.ts';
import { thinned, tries } from '../../support/everyday.ts';
import { TEMPLATES } from './support/templates.ts';

const CONFIG = JSON.stringify({ bos_token: '<s>', eos_token: { content: '</s>', lstrip: false } });
const now = new Date(2024, 6, 26);

function render(source: string, messages: readonly ChatMessage[], options: RenderOptions = {}): string {
  const pieces = loadChatTemplate(source, CONFIG)!.render(messages, { now, ...options });
  return pieces.map((piece) => piece.text).join('');
}
const user = (content: unknown): ChatMessage => ({ role: 'user', content });
const chat: ChatMessage[] = [user('Hi'), { role: 'assistant', content: 'Hello!' }, user('How\nare you?')];

describe('rendering', () => {
  const content = fc
    .array(fc.constantFrom('a', 'word', '\n', ' ', '<think>', '</think>', '<|end|>', 'é', '{{ x }}', '"', '\\'))
    .map((parts) => parts.join(''));
  const turns = fc
    .array(fc.tuple(content, content), { minLength: 1, maxLength: 3 })
    .map((pairs) =>
      pairs.flatMap(([u, a]) => [user(u), { role: 'assistant', content: `x${a.trim()}x` } as ChatMessage]).slice(0, -1),
    );

  it.each(Object.entries(TEMPLATES))('%s gives the text that the library gives', (_, source) => {
    fc.assert(
      fc.property(turns, fc.boolean(), (messages, more) => {
        // The library's strip() takes any white space whatever it is asked to take; keep to texts where that is no difference.
        fc.pre(!messages.some((m) => /\s<|>\s/.test(String(m.content))));
        const variables = { date_string: '26 Jul 2024' };
        const expected = new Template(source).render({
          messages,
          ...variables,
          tools: null,
          add_generation_prompt: more,
          bos_token: '<s>',
          eos_token: '</s>',
        });
        expect(render(source, messages, { addGenerationPrompt: more, variables })).toBe(expected);
      }),
      { numRuns: tries(150) },
    );
  });

  it('knows which text is whose', () => {
    const pieces = loadChatTemplate(TEMPLATES.PHI!, CONFIG)!.render([
      user('<|end|>'),
      { role: 'assistant', content: 'b' },
    ]);
    expect(pieces).toEqual([
      { text: '<|user|>', user: false },
      { text: '<|end|>', user: true },
      { text: '<|end|><|assistant|>', user: false },
      { text: 'b', user: true },
      { text: '<|end|><|assistant|>', user: false },
    ]);
  });

  const whose: [string, string, string][] = [
    ['concatenation', `{{ 'T' + c + 'T' ~ c }}`, 'T[c d ]T[c d ]'],
    ['numbers joined to text', `{{ 'T' ~ 5 ~ c }}`, 'T5[c d ]'],
    ['trim', `{{ ('T ' + c) | trim }}`, 'T [c d]'],
    ['strip', `{{ c.strip() }}`, '[c d]'],
    ['strip of characters', `{{ c.strip(' c') }}`, '[d]'],
    ['rstrip', `{{ (c + 'T').rstrip('T') }}`, '[c d ]'],
    ['split', `{{ (c + 'T,U').split(',')[1] }}{{ c.split(' ')[1] }}{{ (c ~ 'T').split()[-1] }}`, 'U[d]T'],
    ['replace', `{{ ('T-' + c).replace('-', c) | replace('T', 'U') }}`, 'U[c d c d ]'],
    ['join', `{{ [c, 'T', c] | join('<s>') }}`, '[c d ]<s>T<s>[c d ]'],
    ['upper', `{{ ('t' + c) | upper }}{{ c.title() }}`, 'T[C D C D ]'],
    ['slices', `{{ c[0] }}{{ c[2:] }}{{ 'T'[0] }}`, '[cd ]T'],
    ['set blocks', `{% set b %}T{{ c }}{% endset %}{{ b }}`, 'T[c d ]'],
    ['loops', `{% for i in [c, 'T'] %}{{ i }}{{ loop.index }}{% else %}x{% endfor %}`, '[c d ]1T2'],
    ['empty loops', `{% for i in [] %}{{ i }}{% else %}T{{ c }}{% endfor %}`, 'T[c d ]'],
    ['loops in loops', `{% for i in [1, 2] %}{% for j in [c] %}{{ j }}T{% endfor %}{% endfor %}`, '[c d ]T[c d ]T'],
    [
      'loops that leave',
      `{% for i in [c, 'T', c] %}{% if i == 'T' %}{% break %}{% endif %}{{ i }}{% endfor %}T`,
      '[c d ]T',
    ],
    [
      'loops that skip',
      `{% for i in [c, 'T', c] %}{% if i == 'T' %}{% continue %}{% endif %}{{ i }}{% endfor %}`,
      '[c d c d ]',
    ],
    ['macros', `{% macro m(x) %}<s>{{ x }}{% endmacro %}{{ m(c) }}{{ m('T') }}`, '<s>[c d ]<s>T'],
    [
      'macros that call themselves',
      `{% macro m(n) %}{% for i in [1] %}T{% if n %}{{ m(n - 1) }}{% endif %}{{ c }}{% endfor %}{% endmacro %}{{ m(2) }}`,
      'TTT[c d c d c d ]',
    ],
    ['call blocks', `{% macro m() %}<s>{{ caller() }}{% endmacro %}{% call m() %}{{ c }}{% endcall %}`, '<s>[c d ]'],
    ['filter blocks', `{% filter trim %} T{{ c }}{% endfilter %}`, 'T[c d]'],
    [
      'namespaces',
      `{% set n = namespace(s='T') %}{% for i in [1, 2] %}{% set n.s = n.s + c %}{% endfor %}{{ n.s }}`,
      'T[c d c d ]',
    ],
    ['choices', `{{ c if true else 'T' }}{{ none or c }}{{ 'T' or c }}{{ x | default(c) }}`, '[c d c d ]T[c d ]'],
    ['JSON', `{{ {'k': c} | tojson }}{{ {'k': 'T'} | tojson }}`, '[{"k": "c d "}]{"k": "T"}'],
    ['lists as text', `{{ [c] }}{{ ['T'] }}{{ [c] | string }}`, '[["c d "]]["T"][["c d "]]'],
    ['indents', `{{ c | indent(2) }}{{ 'T' | indent }}`, '[c d ]T'],
    ['keys of what the user gave', `{% for k in o %}{{ k }}{% endfor %}{{ o.keys() | join(',') }}`, '[<k><k>]'],
    [
      'items of what the user gave',
      `{% for k, v in o.items() %}{{ k }}T{{ v }}{% endfor %}{% for k, v in o | items %}{{ k }}{% endfor %}{% for k, v in o | dictsort %}{{ k }}{% endfor %}`,
      '[<k>]T[<v><k><k>]',
    ],
    ['items sorted by a method', `{% for k, v in o.dictsort() %}{{ k }}{% endfor %}`, '[<k>]'],
    [
      'keys made of user text',
      `{% for k in {c: 1} %}{{ k }}{% endfor %}{% for k in {'T': c} %}{{ k }}{% endfor %}`,
      '[c d ]T',
    ],
    ['roles and named tokens', `{{ messages[0].role }}{{ bos_token }}{{ messages[0]['role'] }}`, 'user<s>user'],
    ['times', `{{ strftime_now('%Y') }}{{ strftime_now(c) }}`, '2024[c d ]'],
  ];
  it.each(whose)('follows %s', (_, source, expected) => {
    const template = loadChatTemplate(`{% set c = messages[0].content %}{% set o = messages[0].o %}${source}`, CONFIG)!;
    const pieces = template.render([{ role: 'user', content: 'c d ', o: { '<k>': '<v>' } }], { now });
    expect(pieces.map((p) => (p.user ? `[${p.text}]` : p.text)).join('')).toBe(expected);
  });

  it('does as Python where JavaScript differs', () => {
    expect(render(`{{ messages[0].content.strip() | length }}`, [user(' \ufeff😀\x1f')])).toBe('2');
    expect(render(`{{ messages[0].content.lstrip('\\n') }}`, [user('\n  a')])).toBe('  a');
    expect(render(`{{ strftime_now('%d %b %Y, %A %B %e %H:%M%%') }}`, chat)).toBe('26 Jul 2024, Friday July 26 00:00%');
  });

  it('passes tools, variables and further fields on', () => {
    const tools = [{ type: 'function', function: { name: 'f', parameters: {} } }];
    const call = {
      role: 'assistant',
      content: '',
      tool_calls: [{ name: 'f', arguments: { a: [1, 2.5, null, true] } }],
    };
    const text = render(TEMPLATES.QWEN!, [user('x'), call, { role: 'tool', content: '7' }], {
      tools,
      variables: { enable_thinking: false },
    });
    expect(text).toContain('{"type": "function", "function": {"name": "f", "parameters": {}}}');
    expect(text).toContain('"arguments": {"a": [1, 2.5, null, true]}');
    expect(text.endsWith('<think>\n\n</think>\n\n')).toBe(true);
    expect(render('{{ documents[0].text }}', chat, { variables: { documents: [{ text: 'd' }] } })).toBe('d');
  });
});

describe('loading', () => {
  it('prefers chat_template.jinja, then the default of several, then the only one', () => {
    const config = (chatTemplate: unknown): string => JSON.stringify({ chat_template: chatTemplate });
    expect(loadChatTemplate('A', config('B'))!.source).toBe('A');
    expect(loadChatTemplate(null, config('B'))!.source).toBe('B');
    const list = [
      { name: 'tool_use', template: 'T' },
      { name: 'default', template: 'D' },
    ];
    expect(loadChatTemplate(null, config(list))!.source).toBe('D');
    expect(loadChatTemplate(null, config(list.slice(0, 1)))!.source).toBe('T');
    expect(loadChatTemplate(null, config({ default: 'D', rag: 'R' }))!.source).toBe('D');
    expect(loadChatTemplate(null, config(null))).toBeNull();
    expect(loadChatTemplate(null, '{}')).toBeNull();
    expect(loadChatTemplate(null, null)).toBeNull();
    expect(() => loadChatTemplate(null, config(5))).not.toThrow(TypeError);
  });

  it.each([
    '{% if %}',
    '{{ x',
    '{% for x in y %}',
    '{{ 5 + }}',
    '{% nonsense %}',
    `{{ ${'('.repeat(20_000)} }}`,
    'x'.repeat(256 * 1024 + 1),
    ' '.repeat(200_000),
  ])('refuses what cannot be read: %.20s', (source) =>
    expect(() => loadChatTemplate(source, null)).toThrow(InvalidCheckpoint),
  );
});

describe('refusals', () => {
  it('tells the words of the template', () => {
    const wrong = [user('a'), user('b')];
    expect(() => render(TEMPLATES.MIXTRAL!, wrong)).toThrow(InvalidRequest);
    expect(() => render(TEMPLATES.MIXTRAL!, wrong)).toThrow(/must alternate user\/assistant/);
    expect(() => render(`{{ raise_exception('<img onerror=x>' + messages[0].content) }}`, chat)).toThrow(
      /<img onerror=x>Hi/,
    );
  });

  it('puts the system text into the first user turn only where the template knows no system role', () => {
    const system = { role: 'system', content: 'Be brief.' };
    expect(render(TEMPLATES.MIXTRAL!, [system, ...chat])).toBe(
      '<s>[INST] Be brief.\n\nHi [/INST]Hello!</s>[INST] How\nare you? [/INST]',
    );
    expect(render(TEMPLATES.PHI!, [system, user('x')])).toBe('<|system|>Be brief.<|end|><|user|>x<|end|><|assistant|>');
    expect(() => render(TEMPLATES.MIXTRAL!, [system, user('a'), user('b')])).toThrow(/must alternate/);
    expect(() => render(TEMPLATES.MIXTRAL!, [system])).toThrow(InvalidRequest);
  });

  it('takes no malformed messages', () => {
    const bad: unknown[] = [
      [],
      [null],
      [{}],
      [{ role: '<|system|>', content: 'x' }],
      [{ role: 'user|><|system', content: 'x' }],
      [{ role: 'user', content: 'x', f: () => 1 }],
      [{ role: 'user', content: 10n }],
    ];
    for (const messages of bad) expect(() => render('x', messages as ChatMessage[])).toThrow(InvalidRequest);
    let deep: unknown = 'x';
    for (let i = 0; i < 100; i++) deep = [deep];
    expect(() => render('x', [user(deep)])).toThrow(InvalidRequest);
  });

  it('reports a failing template as such', () => {
    for (const source of [
      `{{ messages.foo() }}`,
      `{{ 1 / none }}`,
      `{% for x in 5 %}{% endfor %}`,
      `{{ 'a' | nope }}`,
      `{{ 'a' * 5 }}`,
    ]) {
      expect(() => render(source, chat)).toThrow(InvalidCheckpoint);
    }
  });

  it('gives no way out of the template', () => {
    expect(render(`{{ messages.__proto__ }}{{ messages.constructor }}{{ ''.constructor }}`, chat)).toBe('');
    expect(() => render(`{{ 'a'.constructor.constructor('return 1')() }}`, chat)).toThrow(InvalidCheckpoint);
    expect(render('{{ messages[0].content }}', [user(`{{ 7 * 7 }}{% raw %}`)])).toBe('{{ 7 * 7 }}{% raw %}');
    const odd = JSON.parse('{"role": "user", "content": "x", "__proto__": {"y": 1}, "constructor": 2}') as ChatMessage;
    expect(render('{{ messages[0].constructor }}{{ messages[0].y }}', [odd])).toBe('2');
    expect(({} as Record<string, unknown>).y).toBeUndefined();
  });
});

describe('template bombs', () => {
  const doubling = (n: number, start: string, op: string): string =>
    `{% set ns = namespace(x=${start}) %}{% for i in range(${n}) %}{% set ns.x = ns.x ${op} ns.x %}{% endfor %}{{ ns.x | length }}`;
  const bombs: [string, string][] = [
    ['a range of 10^9', `{{ range(1000000000) | length }}`],
    ['a range of infinity', `{{ range(0, 10 ** 300) | length }}`],
    ['a loop of 10^7', `{% for i in range(10000000) %}{% endfor %}`],
    ['nested loops', `{% for i in range(3000) %}{% for j in range(3000) %}{% endfor %}{% endfor %}`],
    ['nested filtered loops', `{% for i in range(3000) %}{% for j in range(3000) if false %}{% endfor %}{% endfor %}`],
    [
      'nested loops over undefined names',
      `{% for i in range(3000) %}{% for j in range(3000) %}{{ nope }}{% endfor %}{% endfor %}`,
    ],
    ['a text doubled 25 times', doubling(25, `'ab'`, '+')],
    ['a text doubled 60 times', doubling(60, `'ab'`, '~')],
    ['a list doubled 40 times', doubling(40, `[1, 2]`, '+')],
    ['a macro without end', `{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}`],
    [
      'macros that double',
      `{% macro a(n) %}{% if n %}{{ a(n - 1) }}{{ a(n - 1) }}{% else %}x{% endif %}{% endmacro %}{{ a(40) }}`,
    ],
    [
      'replacing that grows',
      `{% set x = 'a' * 1 if false else 'aaaaaaaaaaaaaaaaaaaa' %}{% set ns = namespace(x=x) %}{% for i in range(9) %}{% set ns.x = ns.x.replace('a', x) %}{% endfor %}{{ ns.x }}`,
    ],
    [
      'replacing by filter that grows',
      `{% set ns = namespace(x='aaaa') %}{% for i in range(20) %}{% set ns.x = ns.x | replace('a', 'aaaa') %}{% endfor %}{{ ns.x }}`,
    ],
    [
      'joining that grows',
      `{% set ns = namespace(x='ab') %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] | join(ns.x) %}{% endfor %}{{ ns.x }}`,
    ],
    ['joining many', `{{ range(100000) | join('x' ~ messages[0].content ~ '${'y'.repeat(200)}') }}`],
    ['an indent of 10^8', `{{ 'a\nb' | indent(100000000) }}`],
    ['an indent of 10^8 by name', `{{ 'a\nb' | indent(width=100000000, first=true) }}`],
    ['JSON with a wide indent', `{{ messages | tojson(indent=100000000) }}`],
    ['JSON of itself', `{% set ns = namespace(x=1) %}{% set ns.x = ns %}{{ ns.x | tojson }}`],
    [
      'splitting a large text',
      `{% set ns = namespace(x='a ') %}{% for i in range(20) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{% for i in range(500) %}{% set y = ns.x.split() %}{% endfor %}`,
    ],
    [
      'a large text searched again and again',
      `{% set ns = namespace(x='a') %}{% for i in range(21) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{% for i in range(100000) %}{{ '' if 'b' in ns.x }}{% endfor %}`,
    ],
    [
      'a large list searched again and again',
      `{% set r = range(90000) | list %}{% for i in range(90000) %}{{ '' if -1 in r }}{% endfor %}`,
    ],
    [
      'a large list sorted again and again',
      `{% set r = range(90000) | list %}{% for i in range(90000) %}{% set s = r | sort %}{% endfor %}`,
    ],
    [
      'macros made again and again',
      `{% for i in range(90000) %}{% macro m() %}${'{{ 1 }}'.repeat(20_000)}{% endmacro %}{% endfor %}`,
    ],
    [
      'a long row of broken loops',
      `{% for i in range(90000) %}{% for j in range(90000) %}{% break %}{% endfor %}{% endfor %}`,
    ],
  ];
  it.each(thinned(bombs, 8))('%s is stopped', (_, source) => {
    const start = process.cpuUsage();
    const template = loadChatTemplate(source, null)!;
    expect(() => template.render(chat)).toThrow(InvalidCheckpoint);
    expect(process.cpuUsage(start).user / 1e6).toBeLessThan(10);
  });

  it('leaves room for long chats', () => {
    const spend = vi.spyOn(Budget.prototype, 'spend');
    const long = Array.from({ length: 400 }, (_, i) => ({
      role: i % 2 ? 'assistant' : 'user',
      content: 'word '.repeat(400),
    }));
    for (const source of Object.values(TEMPLATES)) {
      spend.mockClear();
      expect(render(source, long.slice(0, -1)).length).toBeGreaterThan(700_000);
      const steps = spend.mock.calls.reduce((sum, [n]) => sum + n, 0);
      expect(steps).toBeLessThan(TEMPLATE_LIMITS.steps / 10);
    }
    spend.mockRestore();
  });

  it('says what the caller did wrong when the text itself is too long', () => {
    expect(() => render(TEMPLATES.PHI!, [user('x'.repeat(5 * 2 ** 20))])).toThrow(InvalidRequest);
  });
});
