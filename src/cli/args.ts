/** Checked command-line options on top of Node's own parser. */
import { parseArgs } from 'node:util';
import { InvalidRequest } from '../errors.ts';

export interface OptionSpec {
  /** `bytes`: a number, alone or with a unit, as in 500MB or 6GiB. `wholes`, `numbers`: several, between commas. */
  readonly type: 'text' | 'flag' | 'whole' | 'number' | 'bytes' | 'choice' | 'wholes' | 'numbers';
  /** Shown after the option in the usage, as in `DIR`. */
  readonly value?: string;
  readonly help: string;
  readonly required?: boolean;
  readonly min?: number;
  readonly max?: number;
  readonly choices?: readonly string[];
}

type Value = string | number | boolean | readonly number[];

export class Options {
  readonly #values: ReadonlyMap<string, Value>;
  readonly positionals: readonly string[];

  constructor(values: ReadonlyMap<string, Value>, positionals: readonly string[]) {
    this.#values = values;
    this.positionals = positionals;
  }

  text(name: string): string | undefined {
    return this.#values.get(name) as string | undefined;
  }

  number(name: string): number | undefined {
    return this.#values.get(name) as number | undefined;
  }

  /** Of an option with several values. */
  numbers(name: string): readonly number[] | undefined {
    return this.#values.get(name) as readonly number[] | undefined;
  }

  flag(name: string): boolean {
    return this.#values.get(name) === true;
  }
}

/** @throws InvalidRequest with one line that says what is wrong */
export function readOptions(
  argv: readonly string[],
  specs: Readonly<Record<string, OptionSpec>>,
  positionals: number,
): Options {
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({
      args: [...argv],
      allowPositionals: positionals > 0,
      options: Object.fromEntries(
        Object.entries(specs).map(([name, s]) => [name, { type: s.type === 'flag' ? 'boolean' : 'string' }]),
      ),
    });
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new InvalidRequest(message.split('. ')[0]!, {}, { cause });
  }
  const values = new Map<string, Value>();
  for (const [name, spec] of Object.entries(specs)) {
    const raw = parsed.values[name];
    if (raw === undefined) {
      if (spec.required) throw new InvalidRequest(`--${name} is required`, { option: name });
      continue;
    }
    values.set(name, checked(name, spec, raw as string | boolean));
  }
  if (parsed.positionals.length > positionals)
    throw new InvalidRequest(`unexpected argument ${parsed.positionals[positionals]}`, {});
  return new Options(values, parsed.positionals);
}

function checked(name: string, spec: OptionSpec, raw: string | boolean): Value {
  if (typeof raw === 'boolean' || spec.type === 'text') return raw;
  if (spec.type === 'wholes' || spec.type === 'numbers')
    return raw.split(',').map((one) => number(name, spec, one, spec.type === 'wholes'));
  if (spec.type === 'choice') {
    if (!spec.choices!.includes(raw))
      throw new InvalidRequest(`--${name} must be one of ${spec.choices!.join(', ')}, got ${raw}`, { option: name });
    return raw;
  }
  if (spec.type === 'bytes') return bytes(name, raw);
  return number(name, spec, raw, spec.type === 'whole');
}

function number(name: string, spec: OptionSpec, raw: string, isWhole: boolean): number {
  const value = raw.trim() === '' ? NaN : Number(raw);
  const min = spec.min ?? -Infinity;
  if (!Number.isFinite(value) || value < min || (isWhole && !Number.isSafeInteger(value))) {
    const what = isWhole ? 'a whole number' : 'a number';
    throw new InvalidRequest(`--${name} must be ${what}${min === -Infinity ? '' : ` of at least ${min}`}, got ${raw}`, {
      option: name,
    });
  }
  if (spec.max !== undefined && value > spec.max)
    throw new InvalidRequest(`--${name} must be a number of at most ${spec.max}, got ${raw}`, { option: name });
  return value;
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

function bytes(name: string, raw: string): number {
  const [, digits, unit] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(raw) ?? [];
  const factor = unit === undefined ? undefined : UNITS[unit.toLowerCase()];
  if (digits === undefined || factor === undefined)
    throw new InvalidRequest(`--${name} must be a number of bytes, as in 6000000000, 500MB or 6GiB, got ${raw}`, {
      option: name,
    });
  return Math.floor(Number(digits) * factor);
}

export function usage(command: string, argument: string, specs: Readonly<Record<string, OptionSpec>>): string {
  const lines = Object.entries(specs).map(
    ([name, s]) => [`  --${name}${s.value ? ` ${s.value}` : ''}`, s.help] as const,
  );
  const width = Math.max(...lines.map(([left]) => left.length)) + 2;
  return [
    `usage: webmoe ${command}${argument ? ` ${argument}` : ''} [options]`,
    ...lines.map(([left, help]) => left.padEnd(width) + help),
  ].join('\n');
}
