/** Checked readers for JSON that people bring: what is wrong is named by its place. */

export class ReadError extends Error {
  constructor(place: string, expected: string) {
    super(`${place} must be ${expected}`);
    this.name = 'ReadError';
  }
}

/** A value with its place in the file, such as `conversations[2].title`. */
export class Reader {
  readonly #value: unknown;
  readonly place: string;

  constructor(value: unknown, place: string) {
    this.#value = value;
    this.place = place;
  }

  get value(): unknown {
    return this.#value;
  }

  fail(expected: string): never {
    throw new ReadError(this.place, expected);
  }

  /** Refuses keys that are not listed: they would be lost. */
  object(...keys: readonly string[]): (key: string) => Reader {
    const value = this.#value;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return this.fail('an object');
    const odd = Object.keys(value).find((key) => !keys.includes(key));
    if (odd !== undefined) this.fail(`without ${JSON.stringify(odd.slice(0, 40))}`);
    const own = new Map<string, unknown>(Object.entries(value));
    return (key) => new Reader(own.get(key), `${this.place}.${key}`);
  }

  array(): Reader[] {
    if (!Array.isArray(this.#value)) return this.fail('a list');
    return this.#value.map((value: unknown, i) => new Reader(value, `${this.place}[${i}]`));
  }

  string(longest = Infinity): string {
    const value = this.#value;
    if (typeof value !== 'string') return this.fail('a text');
    return value.length > longest ? this.fail(`at most ${longest} characters long`) : value;
  }

  number(): number {
    const value = this.#value;
    return typeof value === 'number' && Number.isFinite(value) ? value : this.fail('a number');
  }

  count(): number {
    const value = this.number();
    return Number.isSafeInteger(value) && value >= 0 ? value : this.fail('a whole number of at least 0');
  }

  oneOf<T extends string>(...allowed: readonly T[]): T {
    return allowed.find((one) => one === this.#value) ?? this.fail(allowed.map((one) => `"${one}"`).join(' or '));
  }

  /** @returns milliseconds since 1970 */
  time(): number {
    const text = this.string();
    const ms = Date.parse(text);
    return Number.isNaN(ms) || new Date(ms).toISOString() !== text
      ? this.fail('a time such as 2026-01-31T12:00:00.000Z')
      : ms;
  }

  orNull<T>(read: (reader: Reader) => T): T | null {
    return this.#value === null ? null : read(this);
  }
}
