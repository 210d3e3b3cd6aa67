/** What a chat template may spend: it is a program from a stranger, and the library that runs it has no limits. */
export const TEMPLATE_LIMITS = {
  /** Characters of the template itself. */
  source: 256 * 1024,
  /** White space in a row: the library's preprocessor takes quadratic time for it. */
  blanks: 1_000,
  /** Characters of any string it makes, its output included. */
  output: 4 * 2 ** 20,
  /** Items of any list. */
  list: 100_000,
  /** Blanks that `indent` and `tojson` put before a line. */
  indent: 64,
  /** Steps; one is an expression evaluated or so, some 2 million a second. A chat of 400 turns of 2,000 characters takes 0.2 million or less. */
  steps: 3_000_000,
} as const;

/** The template wanted more than it may have. */
export class TemplateLimit extends Error {
  readonly limit: keyof typeof TEMPLATE_LIMITS;

  constructor(limit: keyof typeof TEMPLATE_LIMITS, message: string) {
    super(message);
    this.limit = limit;
  }
}

export class Budget {
  #left: number = TEMPLATE_LIMITS.steps;

  /** Characters are cheaper than steps, but not free: a string is copied when it is used. */
  text(length: number, stepChars: number): void {
    if (length > TEMPLATE_LIMITS.output) {
      throw new TemplateLimit('output', `makes a text of more than ${TEMPLATE_LIMITS.output} characters`);
    }
    this.spend(length / stepChars);
  }

  list(length: number): void {
    if (length > TEMPLATE_LIMITS.list) {
      throw new TemplateLimit('list', `makes a list of more than ${TEMPLATE_LIMITS.list} items`);
    }
  }

  spend(steps: number): void {
    this.#left -= steps;
    if (this.#left < 0) throw new TemplateLimit('steps', `takes more than ${TEMPLATE_LIMITS.steps} steps`);
  }
}
