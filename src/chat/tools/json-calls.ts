/** JSON that arrives in pieces: arguments are handed on while they are written, not when they are complete. */
import type { OutputSink } from '../output.ts';

/** How deep the text is in brackets, and whether it is inside a string. */
class Nesting {
  depth = 0;
  inString = false;
  #isEscaped = false;

  step(c: string): void {
    if (this.inString) {
      if (this.#isEscaped) this.#isEscaped = false;
      else if (c === '\\') this.#isEscaped = true;
      else if (c === '"') this.inString = false;
    } else if (c === '"') this.inString = true;
    else if (c === '{' || c === '[') this.depth++;
    else if (c === '}' || c === ']') this.depth--;
  }
}

/** The first object in a text: what is before and after it, such as a code fence, is left out. */
export class ObjectText {
  readonly #nesting = new Nesting();
  #state: 'before' | 'inside' | 'after' = 'before';

  get inString(): boolean {
    return this.#nesting.inString;
  }

  /** @returns what of `text` belongs to the object */
  push(text: string): string {
    let out = '';
    for (const c of text) {
      if (this.#state === 'before' && c === '{') this.#state = 'inside';
      if (this.#state !== 'inside') continue;
      this.#nesting.step(c);
      out += c;
      if (this.#nesting.depth === 0) this.#state = 'after';
    }
    return out;
  }
}

const parsed = (literal: string): unknown => {
  try {
    return JSON.parse(literal);
  } catch {
    return null;
  }
};

const isBlank = (c: string): boolean => c.trim() === '';

/** `{"name": ..., "arguments": {...}}`, one, a list of them, or several with `;` between them; `parameters` is another name for the arguments. */
export class JsonCalls {
  readonly #sink: OutputSink;
  #nesting = new Nesting();
  #all = '';
  #found = 0;
  #isInside = false;
  #isListed = false;
  #isKeyNext = false;
  #literal = '';
  #key: unknown = null;
  #name: string | null = null;
  #isBegun = false;
  #arguments = '';

  constructor(sink: OutputSink) {
    this.#sink = sink;
  }

  get inString(): boolean {
    return this.#nesting.inString;
  }

  push(text: string): void {
    this.#all += text;
    for (const c of text) {
      if (this.#isInside) this.#inside(c);
      else this.#outside(c);
    }
    this.#emit();
  }

  /** @returns the whole text when no call was in it */
  end(): string | null {
    if (this.#isInside && this.#name !== null) this.#begin();
    return this.#found > 0 ? null : this.#all;
  }

  #outside(c: string): void {
    if (c === '[' || c === ';') this.#isListed = true;
    if (c !== '{' || (this.#found > 0 && !this.#isListed)) return;
    this.#nesting = new Nesting();
    this.#nesting.step(c);
    this.#isInside = this.#isKeyNext = true;
    this.#isBegun = false;
    this.#name = null;
    this.#key = null;
    this.#arguments = '';
  }

  #inside(c: string): void {
    const wasString = this.#nesting.inString;
    const wasTop = this.#nesting.depth === 1;
    this.#nesting.step(c);
    if (this.#nesting.depth === 0) return this.#finish();
    const isSyntax = wasTop && this.#nesting.depth === 1 && !wasString && !this.#nesting.inString;
    if (isSyntax && c === ',') {
      this.#isKeyNext = true;
      this.#key = null;
    } else if (isSyntax && (c === ':' || isBlank(c))) {
      if (c === ':') this.#isKeyNext = false;
    } else if (this.#key === 'arguments' || this.#key === 'parameters') this.#arguments += c;
    else if (wasTop) this.#topString(c, wasString);
  }

  /** Keys and the name. */
  #topString(c: string, wasString: boolean): void {
    if (!wasString && !this.#nesting.inString) return;
    this.#literal = wasString ? this.#literal + c : c;
    if (this.#nesting.inString) return;
    const value = parsed(this.#literal);
    if (this.#isKeyNext) this.#key = value;
    else if (this.#key === 'name' && typeof value === 'string') this.#name = value;
  }

  /** Arguments may also come as a string that holds JSON: that is known when it is whole. */
  #emit(): void {
    if (!this.#isInside || this.#name === null || !this.#arguments || this.#isText) return;
    this.#begin();
    this.#sink.arguments(this.#arguments);
    this.#arguments = '';
  }

  get #isText(): boolean {
    return !this.#isBegun && this.#arguments.startsWith('"');
  }

  #begin(): void {
    if (!this.#isBegun) this.#sink.call(this.#name!);
    if (!this.#isBegun) this.#found++;
    this.#isBegun = true;
  }

  #finish(): void {
    this.#isInside = false;
    if (this.#name === null) return;
    const isEmpty = !this.#isBegun && !this.#arguments;
    const inner = this.#isText ? parsed(this.#arguments) : null;
    this.#begin();
    this.#sink.arguments(isEmpty ? '{}' : typeof inner === 'string' ? inner : this.#arguments);
    this.#arguments = '';
  }
}
