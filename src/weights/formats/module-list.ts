/** Lists of modules that a config says were left alone: whole parts of dotted names, `*` for anything inside one. */
import { InvalidCheckpoint } from '../../errors.ts';
import type { ConfigReader, Json } from '../../config/read.ts';

const isName = (item: Json): item is string => typeof item === 'string';
const matches = (wanted: string, part: string): boolean => {
  const [head, ...rest] = wanted.split('*');
  if (rest.length === 0) return wanted === part;
  let at = head!.length;
  if (!part.startsWith(head!)) return false;
  for (const piece of rest.slice(0, -1)) {
    const found = part.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  const tail = rest.at(-1)!;
  return part.length - tail.length >= at && part.endsWith(tail);
};

export class ModuleList {
  readonly #lists: readonly (readonly string[])[];
  readonly #where: string;

  /** The first of `keys` that the config has. */
  constructor(config: ConfigReader, ...keys: readonly string[]) {
    const key = keys.find((k) => config.has(k)) ?? keys[0]!;
    config.irrelevant(...keys);
    this.#lists = config.list<string>(key, isName, 'module names', []).map((name) => name.split('.'));
    this.#where = `${config.path}: ${key}`;
  }

  /** Whether some parts of `module` that follow each other are listed: `gate` and `mlp.gate` both name `model.layers.0.mlp.gate`. */
  has(module: string): boolean {
    const parts = module.split('.');
    return this.#lists.some((wanted) =>
      parts.some((_, at) => wanted.every((w, i) => parts[at + i] !== undefined && matches(w, parts[at + i]!))),
    );
  }

  /** @throws InvalidCheckpoint for a quantised module that the list says is not */
  refuse(module: string): void {
    if (!this.has(module)) return;
    throw new InvalidCheckpoint('quantization', `${module} is quantised, but ${this.#where} says that it is not`, {
      tensor: module,
    });
  }
}
