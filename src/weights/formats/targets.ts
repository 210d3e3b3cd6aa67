/** Which modules a list of compressed-tensors' targets names: modules, classes, or `re:` patterns. */
import { UnsupportedModel } from '../../errors.ts';
import { compilePattern, PatternError } from './target-pattern.ts';

/** Most regular expressions in one config: each is tried on each quantised module. */
const MAX_PATTERNS = 256;

export class Targets {
  readonly #names: ReadonlySet<string>;
  readonly #patterns: readonly ((text: string) => boolean)[];

  constructor(targets: readonly string[], where: string) {
    this.#names = new Set(targets.filter((t) => !t.startsWith('re:')));
    const patterns = targets.filter((t) => t.startsWith('re:'));
    if (patterns.length > MAX_PATTERNS)
      throw new UnsupportedModel(`${where} has ${patterns.length} patterns; at most ${MAX_PATTERNS} are read`, {
        where,
      });
    this.#patterns = patterns.map((target) => {
      try {
        return compilePattern(target.slice(3));
      } catch (cause) {
        if (!(cause instanceof PatternError)) throw cause;
        const shown = JSON.stringify(target.slice(0, 80));
        throw new UnsupportedModel(
          `${where}: the pattern ${shown} ${cause.message}`,
          { where, pattern: target.slice(0, 80) },
          { cause },
        );
      }
    });
  }

  /** 0 by its own name, 1 by a pattern, 2 by its class, null not at all: compressed-tensors' order of preference. */
  rank(module: string): 0 | 1 | 2 | null {
    if (this.#names.has(module)) return 0;
    if (this.#patterns.some((matches) => matches(module))) return 1;
    return this.#names.has('Linear') ? 2 : null; // every quantised module is a Linear
  }
}
