/** The tensors of the language model in a checkpoint for several media, called as if it were published alone. */
import { InvalidCheckpoint } from '../errors.ts';
import type { Checkpoint } from './checkpoint.ts';

/** Published name -> own name; null for another medium's. */
function ownName(published: string): string | null {
  const inner = /^(?:model\.language_model|language_model\.model)\.(.*)$/.exec(published);
  if (inner) return `model.${inner[1]!}`;
  return /^(?:language_model\.)?(lm_head\..*)$/.exec(published)?.[1] ?? null;
}

/** Reads through to `whole`: nothing is fetched or copied. */
export function textModel(whole: Checkpoint): Checkpoint {
  const published = new Map<string, string>();
  for (const name of whole.names()) {
    const own = ownName(name);
    if (own !== null) published.set(own, name);
  }
  const isOwn = (name: string): boolean => ownName(name) !== null;
  return {
    source: whole.source,
    files: whole.files,
    warnings: whole.warnings,
    has: (name) => published.has(name) && whole.has(published.get(name)!),
    tensor(name) {
      const found = published.get(name);
      if (found !== undefined) return whole.tensor(found);
      throw new InvalidCheckpoint('missing-tensor', `The checkpoint has no tensor ${name} of a language model`, {
        tensor: name,
      });
    },
    leftOver: (name) => (published.has(name) ? whole.leftOver(published.get(name)!) : null),
    names: () => published.keys(),
    unasked: () =>
      whole
        .unasked()
        .filter(isOwn)
        .map((name) => ownName(name)!),
  };
}
