/**
 * A strict JSON scanner that is pulled by its reader. `JSON.parse` would hide duplicate keys, round large integers and accept any depth;
 * this one sees every key, reads integers from their raw text, and never recurses beyond a limit.
 */

export type JsonProblem = 'syntax' | 'encoding' | 'depth' | 'type' | 'duplicate' | 'limit';

/** Throws the error that fits the file being read. `at` is a byte offset into the text. */
export type JsonFail = (problem: JsonProblem, message: string, at: number) => never;

export type JsonKind = 'object' | 'array' | 'string' | 'number' | 'boolean' | 'null';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;

const LITERALS = ['true', 'false', 'null'].map((text) => ({ text, bytes: new TextEncoder().encode(text) }));
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
/** Longest number that has a meaning anywhere in these files, with room to spare. */
const MAX_NUMBER = 400;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

const latin1 = new TextDecoder('latin1');
/** Text whose bytes are known to be ASCII, or only for a message: ten times as fast as `fromCharCode`. */
const ascii = (bytes: Uint8Array, start: number, end: number): string => latin1.decode(bytes.subarray(start, end));

const isDigit = (b: number | undefined): boolean => b !== undefined && b >= 0x30 && b <= 0x39;
const isNumberByte = (b: number | undefined): boolean =>
  isDigit(b) || b === 0x2d || b === 0x2b || b === 0x2e || b === 0x65 || b === 0x45;

const shownByte = (byte: number | undefined): string => {
  if (byte === undefined) return 'the end';
  return byte > 0x20 && byte < 0x7f ? `"${String.fromCharCode(byte)}"` : `byte 0x${byte.toString(16).padStart(2, '0')}`;
};

export class JsonScanner {
  readonly #bytes: Uint8Array;
  readonly #fail: JsonFail;
  readonly #maxDepth: number;
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  #at = 0;
  #depth = 0;

  constructor(bytes: Uint8Array, { maxDepth, fail }: { readonly maxDepth: number; readonly fail: JsonFail }) {
    this.#bytes = bytes;
    this.#fail = fail;
    this.#maxDepth = maxDepth;
    if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
      fail('encoding', 'starts with a byte order mark', 0);
    }
  }

  /** Byte offset of the next unread byte. */
  get at(): number {
    return this.#at;
  }

  #space(): number | undefined {
    const bytes = this.#bytes;
    let b = bytes[this.#at];
    while (b === 0x20 || b === 0x0a || b === 0x0d || b === 0x09) b = bytes[++this.#at];
    return b;
  }

  #unexpected(expected: string): never {
    const byte = this.#bytes[this.#at];
    if (byte !== undefined && byte >= 0x80)
      this.#fail('encoding', `has ${shownByte(byte)} outside of a string`, this.#at);
    return this.#fail('syntax', `has ${shownByte(byte)} where ${expected} should be`, this.#at);
  }

  /** What comes next, without reading it. */
  kind(): JsonKind {
    const b = this.#space();
    if (b === 0x7b) return 'object';
    if (b === 0x5b) return 'array';
    if (b === QUOTE) return 'string';
    if (b === 0x2d || isDigit(b)) return 'number';
    if (b === 0x74 || b === 0x66) return 'boolean';
    if (b === 0x6e) return 'null';
    return this.#unexpected('a value');
  }

  #expect(kind: JsonKind, what: string): void {
    const found = this.kind();
    if (found !== kind)
      this.#fail(
        'type',
        `${what} must be ${kind === 'object' || kind === 'array' ? 'an' : 'a'} ${kind}, found ${found}`,
        this.#at,
      );
  }

  #enter(): void {
    this.#at++;
    if (++this.#depth > this.#maxDepth) {
      this.#fail('depth', `is nested more than ${this.#maxDepth} levels deep`, this.#at);
    }
  }

  /**
   * Reads an object: `visit` gets every key and must read its value. Keys that differ only in how they are escaped are equal.
   * @param maxKeyBytes limit of a key's raw text
   * @param maxKeys limit of the number of entries
   */
  object(what: string, maxKeyBytes: number, maxKeys: number, visit: (key: string) => void): void {
    this.#expect('object', what);
    this.#enter();
    const seen = new Set<string>();
    if (this.#space() === 0x7d) this.#at++;
    else {
      do {
        if (this.#space() !== QUOTE) this.#unexpected('a key in double quotes');
        const start = this.#at;
        const key = this.string(`a key of ${what}`, maxKeyBytes);
        if (seen.size >= maxKeys) this.#fail('limit', `${what} has more than ${maxKeys} entries`, start);
        if (seen.has(key)) this.#fail('duplicate', `${what} has the key ${JSON.stringify(key)} twice`, start);
        seen.add(key);
        if (this.#space() !== COLON) this.#unexpected('a colon');
        this.#at++;
        visit(key);
      } while (this.#more(0x7d));
    }
    this.#depth--;
  }

  /** Reads an array: `visit` must read the item. */
  array(what: string, visit: (index: number) => void): void {
    this.#expect('array', what);
    this.#enter();
    if (this.#space() === 0x5d) this.#at++;
    else {
      let index = 0;
      do visit(index++);
      while (this.#more(0x5d));
    }
    this.#depth--;
  }

  /** After an item: a comma (true) or the closing bracket (false). */
  #more(close: number): boolean {
    const b = this.#space();
    if (b !== COMMA && b !== close) this.#unexpected(`a comma or "${String.fromCharCode(close)}"`);
    this.#at++;
    return b === COMMA;
  }

  /** @param maxBytes limit of the raw text between the quotes */
  string(what: string, maxBytes: number): string {
    this.#expect('string', what);
    const bytes = this.#bytes;
    const start = ++this.#at;
    const last = Math.min(bytes.length, start + maxBytes);
    let plain = true;
    let at = start;
    for (; at < last; at++) {
      const b = bytes[at]!;
      if (b === QUOTE) break;
      if (b === BACKSLASH) {
        plain = false;
        at++;
      } else if (b < 0x20) {
        this.#at = at;
        this.#unexpected('the rest of a string');
      } else if (b >= 0x80) plain = false;
    }
    if (at >= bytes.length) {
      this.#at = bytes.length;
      this.#unexpected('the end of a string');
    }
    if (bytes[at] !== QUOTE) this.#fail('limit', `${what} is longer than ${maxBytes} bytes`, start);
    this.#at = at + 1;
    return plain ? ascii(bytes, start, at) : this.#unescape(start, at);
  }

  #unescape(start: number, end: number): string {
    let text: string;
    try {
      text = this.#utf8.decode(this.#bytes.subarray(start, end));
    } catch {
      return this.#fail('encoding', 'has a string that is not valid UTF-8', start);
    }
    if (!text.includes('\\')) return text;
    const out: string[] = [];
    for (let i = 0; i < text.length;) {
      const slash = text.indexOf('\\', i);
      if (slash < 0) {
        out.push(text.slice(i));
        break;
      }
      out.push(text.slice(i, slash));
      const letter = text[slash + 1] ?? '';
      const hex = letter === 'u' ? text.slice(slash + 2, slash + 6) : '';
      const plain = ESCAPES[letter];
      if (plain !== undefined) out.push(plain);
      else if (/^[0-9a-fA-F]{4}$/.test(hex)) out.push(String.fromCharCode(parseInt(hex, 16)));
      else
        this.#fail(
          'syntax',
          `has the escape ${JSON.stringify(text.slice(slash, slash + 2))}, which JSON does not know`,
          start,
        );
      i = slash + 2 + hex.length;
    }
    return out.join('');
  }

  /**
   * Reads any value and gives it back when it is a whole number from 0 to 2^53 - 1, written without a point, an exponent or a sign.
   * Anything else gives its text, shortened, for a message.
   */
  unsigned(): number | string {
    if (this.kind() !== 'number') {
      const start = this.#at;
      this.skip();
      return this.#shown(start);
    }
    const bytes = this.#bytes;
    const start = this.#at;
    let value = 0;
    while (isDigit(bytes[this.#at])) value = value * 10 + bytes[this.#at++]! - 0x30;
    const digits = this.#at - start;
    const whole = digits > 0 && !isNumberByte(bytes[this.#at]) && (digits === 1 || bytes[start] !== 0x30);
    if (whole && digits <= 15) return value;
    this.#at = start;
    this.#number();
    if (whole && digits === 16 && Number.isSafeInteger(value)) return value;
    return this.#shown(start);
  }

  #shown(start: number): string {
    const text = ascii(this.#bytes, start, Math.min(this.#at, start + 40));
    return this.#at - start > 40 ? `${text}...` : text;
  }

  #number(): void {
    const start = this.#at;
    while (isNumberByte(this.#bytes[this.#at])) this.#at++;
    if (this.#at - start > MAX_NUMBER) this.#fail('limit', `has a number of ${this.#at - start} characters`, start);
    if (NUMBER.test(ascii(this.#bytes, start, this.#at))) return;
    this.#fail('syntax', `has ${this.#shown(start)}, which is not a number`, start);
  }

  /** Reads and drops any value. */
  skip(): void {
    const kind = this.kind();
    if (kind === 'object') this.object('a skipped object', this.#bytes.length, Infinity, () => this.skip());
    else if (kind === 'array') this.array('a skipped list', () => this.skip());
    else if (kind === 'string') this.string('a skipped string', this.#bytes.length);
    else if (kind === 'number') this.#number();
    else this.#literal();
  }

  #literal(): void {
    const found = LITERALS.find(({ bytes }) => bytes.every((b, i) => this.#bytes[this.#at + i] === b));
    if (!found) this.#unexpected('a value');
    this.#at += found.bytes.length;
  }

  /** Only white space may follow. */
  end(): void {
    if (this.#space() !== undefined) this.#unexpected('the end');
  }
}
