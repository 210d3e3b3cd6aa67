/** Labels of a text's tokens, by a model that is an encoder with a head for them. */
import { headRows } from '../config/head.ts';
import type { ModelConfig } from '../config/model-config.ts';
import { InvalidRequest, UnsupportedModel } from '../errors.ts';
import { subview, wholeBuffer } from '../gpu/buffer.ts';
import { assertFinite } from './finite.ts';
import type { ScoredChunk, Scorer } from './scoring.ts';
import { probabilityOf, spansOf, type LabelledSpan, type Place } from './spans.ts';
import type { ModelText } from './text.ts';

export interface LabelOptions {
  /** Ends the work with its reason; the model stays usable. */
  readonly signal?: AbortSignal;
}

export interface TokenLabel {
  readonly id: number;
  /** Where it is in the text, in UTF-16 units; both are the same where the token has no text of its own. */
  readonly start: number;
  readonly end: number;
  /** The likeliest of this token by itself. */
  readonly label: string;
  readonly probability: number;
}

export interface Labels {
  readonly tokens: readonly TokenLabel[];
  /** Of the likeliest row of labels in which every span is whole. */
  readonly spans: readonly LabelledSpan[];
}

/** @throws InvalidRequest for a model without labels */
export function labelsOf({ head, family }: Pick<ModelConfig, 'head' | 'family'>): readonly string[] {
  if (head.labels) return head.labels;
  throw new InvalidRequest(`label needs a model with a head that labels tokens; this one (${family}) has none`, {
    option: 'label',
    family,
  });
}

/** Where each token is. @throws UnsupportedModel where the tokenizer changes what it encodes, so that tokens have no place in it */
export function placesOf(text: string, ids: readonly number[], { tokenizer }: ModelText): Place[] {
  const stream = tokenizer.stream({ skipSpecial: true, verbatim: true });
  const pieces = ids.map((id) => stream.push(id));
  if (pieces.join('') + stream.end() !== text)
    throw new UnsupportedModel(
      'The tokenizer changes this text: its tokens have no places in it that labels could name',
      {
        file: 'tokenizer.json',
      },
    );
  let end = 0;
  return pieces.map((piece) => [end, (end += piece.length)]);
}

/** Logits of every token's labels, [T, labels]. */
async function labelLogits(scorer: Scorer, ids: readonly number[], signal: AbortSignal): Promise<Float32Array> {
  const { gpu, forward } = scorer;
  const { hidden } = forward.config;
  const most = forward.plan.prefillChunk;
  const count = headRows(forward.config);
  const [out, normed] = await gpu.allocating('the labels of a text', () =>
    [count, hidden].map((row) => wholeBuffer(gpu.createBuffer('labels', 'activations', 4 * most * row))),
  );
  const found: Float32Array[] = [];
  const onChunk = async ({ tokens }: ScoredChunk): Promise<void> => {
    const logits = new Float32Array(await gpu.read(subview(out!, 0, 4 * tokens * count)));
    assertFinite(logits, 'logits of labels');
    found.push(logits);
  };
  try {
    await scorer.score({ ids, most, tail: await forward.allLogits(out!, normed!), signal, onChunk });
    return found[0]!;
  } finally {
    for (const view of [out!, normed!]) gpu.destroyBuffer(view.buffer);
  }
}

/** @param places of the tokens in the text */
export async function labelTokens(
  scorer: Scorer,
  text: string,
  ids: readonly number[],
  places: readonly Place[],
  signal: AbortSignal,
): Promise<Labels> {
  const names = labelsOf(scorer.forward.config);
  const logits = await labelLogits(scorer, ids, signal);
  const tokens = ids.map((id, t): TokenLabel => {
    const row = logits.subarray(t * names.length, (t + 1) * names.length);
    const at = row.indexOf(Math.max(...row));
    const [start, end] = places[t]!;
    return { id, start, end, label: names[at]!, probability: probabilityOf(row, at) };
  });
  return { tokens, spans: spansOf(text, logits, { names, places }) };
}
