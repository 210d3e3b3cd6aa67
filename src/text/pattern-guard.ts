/**
 * Refuses regular expressions that can take exponential time: they come with the checkpoint and run on what the user types.
 * Rule: whatever may repeat more than once must have one fixed length and no alternatives. (a+)+, (a|a)*, (a?){30} break it; every
 * pre-tokenizer pattern of the published families keeps it. What passes is polynomial at worst, of a degree of at most MAX_UNBOUNDED.
 */
const MAX_SOURCE = 10_000;
const MAX_REPEAT = 1_000;
const MAX_UNBOUNDED = 4;
const MAX_DEPTH = 32;

/** What one alternative, group or atom can match. */
interface Extent {
  /** Characters, when always the same number. */
  readonly fixed: number | null;
  readonly alternatives: number;
  /** Unbounded quantifiers that one match can pass through. */
  readonly unbounded: number;
}

class Hazard extends Error {}

class PatternReader {
  readonly #source: string;
  #at = 0;
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
  }

  read(): void {
    this.#alternatives();
    if (this.#at < this.#source.length) throw new Hazard('has an unmatched )');
  }

  #alternatives(): Extent {
    if (++this.#depth > MAX_DEPTH) throw new Hazard('is nested too deeply');
    const extents = [this.#sequence()];
    while (this.#take('|')) extents.push(this.#sequence());
    this.#depth--;
    const [first] = extents;
    return {
      fixed: extents.every((e) => e.fixed !== null && e.fixed === first!.fixed) ? first!.fixed : null,
      alternatives: Math.max(extents.length, ...extents.map((e) => e.alternatives)),
      unbounded: Math.max(...extents.map((e) => e.unbounded)),
    };
  }

  #sequence(): Extent {
    let fixed: number | null = 0;
    let unbounded = 0;
    let alternatives = 1;
    while (this.#at < this.#source.length && !'|)'.includes(this.#source[this.#at]!)) {
      const item = this.#repeated(this.#atom());
      fixed = fixed === null || item.fixed === null ? null : fixed + item.fixed;
      alternatives = Math.max(alternatives, item.alternatives);
      unbounded += item.unbounded;
      if (unbounded > MAX_UNBOUNDED) throw new Hazard(`has more than ${MAX_UNBOUNDED} open-ended repeats in a row`);
    }
    return { fixed, alternatives, unbounded };
  }

  #repeated(atom: Extent): Extent {
    let extent = atom;
    for (let bounds = this.#quantifier(); bounds; bounds = this.#quantifier()) {
      const [min, max] = bounds;
      if (max > 1 && (extent.fixed === null || extent.alternatives > 1)) {
        throw new Hazard('repeats something that itself repeats or has alternatives');
      }
      extent = {
        fixed: min === max && extent.fixed !== null ? extent.fixed * min : null,
        alternatives: extent.alternatives,
        unbounded: extent.unbounded + (max === Infinity ? 1 : 0),
      };
      if ((extent.fixed ?? 0) > MAX_REPEAT) throw new Hazard(`repeats more than ${MAX_REPEAT} times`);
      if (!this.#take('?')) this.#take('+'); // lazy or possessive
    }
    return extent;
  }

  #quantifier(): readonly [number, number] | null {
    if (this.#take('*')) return [0, Infinity];
    if (this.#take('+')) return [1, Infinity];
    if (this.#take('?')) return [0, 1];
    const braces = /^\{(\d*)(,?)(\d*)\}/.exec(this.#source.slice(this.#at, this.#at + 24));
    if (!braces || (braces[1] === '' && braces[3] === '')) return null;
    this.#at += braces[0].length;
    const min = Number(braces[1] || 0);
    const max = braces[2] === '' ? min : braces[3] === '' ? Infinity : Number(braces[3]);
    if (min > MAX_REPEAT || (max > MAX_REPEAT && max !== Infinity))
      throw new Hazard(`repeats more than ${MAX_REPEAT} times`);
    return [min, max];
  }

  #atom(): Extent {
    const one: Extent = { fixed: 1, alternatives: 1, unbounded: 0 };
    const c = this.#source[this.#at++]!;
    if (c === '(') return this.#group();
    if (c === '[') this.#characterClass();
    if (c === '\\') this.#escape();
    return c === '^' || c === '$' ? { ...one, fixed: 0 } : one;
  }

  #group(): Extent {
    const rest = this.#source.slice(this.#at, this.#at + 64);
    if (rest.startsWith('?#')) throw new Hazard('has a comment');
    const prefix = /^\?(?:<?[=!]|>|[imsx-]*:|<[A-Za-z_]\w*>)/.exec(rest)?.[0];
    if (prefix === undefined && rest.startsWith('?'))
      throw new Hazard(`has a group of an unknown kind: (${rest.slice(0, 6)}`);
    this.#at += prefix?.length ?? 0;
    const inside = this.#alternatives();
    if (!this.#take(')')) throw new Hazard('has an unmatched (');
    return prefix !== undefined && /[=!]$/.test(prefix) ? { ...inside, fixed: 0 } : inside;
  }

  #characterClass(): void {
    let depth = 1;
    this.#take('^');
    this.#take(']');
    while (depth > 0) {
      const c = this.#source[this.#at++];
      if (c === undefined) throw new Hazard('has an unmatched [');
      if (c === '\\') this.#at++;
      else if (c === '[') depth++;
      else if (c === ']') depth--;
      if (depth > MAX_DEPTH) throw new Hazard('is nested too deeply');
    }
  }

  #escape(): void {
    const c = this.#source[this.#at++];
    if (c === undefined) throw new Hazard('ends in a backslash');
    if (/[1-9kgGKXR]/.test(c)) throw new Hazard(`uses \\${c}`); // back references and calls are not regular
    const braces = /^\{[^}]{1,64}\}/.exec(this.#source.slice(this.#at, this.#at + 66));
    if ('pPxu'.includes(c) && braces) this.#at += braces[0].length;
    else if (c === 'u') this.#at += 4;
    else if (c === 'x') this.#at += 2;
  }

  #take(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }
}

/** @returns why the pattern is refused, in words that follow "the pattern"; null when it is fine */
export function patternHazard(source: string): string | null {
  if (source.length > MAX_SOURCE) return `is longer than ${MAX_SOURCE} characters`;
  try {
    new PatternReader(source).read();
    return null;
  } catch (error) {
    if (error instanceof Hazard) return error.message;
    throw error;
  }
}
