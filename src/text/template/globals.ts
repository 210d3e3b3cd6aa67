/** The names that every chat template can use. */
import { Environment } from '@huggingface/jinja';
import { TemplateLimit, TEMPLATE_LIMITS } from './budget.ts';
import { array, callable, fromTemplate, fromUser, hasUser, isNumber, isString, scalar, type Value } from './values.ts';

/** The template itself said no: `raise_exception("...")`. The message is a stranger's text. */
export class TemplateRefusal extends Error {}

const MONTHS = 'January February March April May June July August September October November December'.split(' ');
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');
const two = (n: number): string => String(n).padStart(2, '0');

/** Python's strftime with English names, as the models saw it in training, whatever the visitor's locale is. */
export function strftime(date: Date, format: string): string {
  const parts: Readonly<Record<string, string>> = {
    Y: String(date.getFullYear()),
    y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1),
    d: two(date.getDate()),
    e: String(date.getDate()).padStart(2, ' '),
    H: two(date.getHours()),
    I: two(date.getHours() % 12 || 12),
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    p: date.getHours() < 12 ? 'AM' : 'PM',
    B: MONTHS[date.getMonth()]!,
    b: MONTHS[date.getMonth()]!.slice(0, 3),
    A: DAYS[date.getDay()]!,
    a: DAYS[date.getDay()]!.slice(0, 3),
    '%': '%',
  };
  return format.replace(/%([YymdeHIMSpBbAa%])/g, (_, key: string) => parts[key]!);
}

function range(args: readonly Value[]): Value {
  const numbers = args.filter(isNumber).map((arg) => arg.value);
  const [start, stop, step] = numbers.length === 1 ? [0, numbers[0]!, 1] : [numbers[0]!, numbers[1]!, numbers[2] ?? 1];
  if (numbers.length !== args.length || !numbers.length || !numbers.every(Number.isInteger) || step === 0) {
    throw new Error('range() takes one to three whole numbers');
  }
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (!(length <= TEMPLATE_LIMITS.list)) {
    throw new TemplateLimit('list', `makes a range of more than ${TEMPLATE_LIMITS.list} numbers`);
  }
  return array(Array.from({ length }, (_, i) => scalar(start + i * step)));
}

/** @param now what `strftime_now` tells */
export function createGlobals(now: () => Date): Environment {
  const globals = new Environment();
  for (const [name, value] of [
    ['true', true],
    ['false', false],
    ['none', null],
  ] as const) {
    globals.setVariable(name, scalar(value));
    globals.setVariable(name[0]!.toUpperCase() + name.slice(1), scalar(value));
  }
  const define = (name: string, call: (args: Value[]) => Value): void =>
    void globals.setVariable(
      name,
      callable((args) => call(args)),
    );
  define('range', range);
  define('raise_exception', ([message]) => {
    throw new TemplateRefusal(isString(message) ? message.value : 'no reason given');
  });
  define('strftime_now', ([format]) => {
    if (!isString(format)) throw new Error('strftime_now() takes a format');
    const text = strftime(now(), format.value);
    return hasUser(format) ? fromUser(text) : fromTemplate(text);
  });
  return globals;
}
