/** Spans of labelled tokens. Labels are O, and of each kind B-, I-, E- for a span of several tokens and S- for one of a single token. */

/** Of a text, in UTF-16 units; both are the same where a token has no text of its own. */
export type Place = readonly [start: number, end: number];

export interface LabelledSpan {
  /** In the text, in UTF-16 units, without blanks at the ends. */
  readonly start: number;
  readonly end: number;
  readonly text: string;
  /** Without B-, I-, E-, S-. */
  readonly label: string;
  /** The mean of its tokens' probabilities for their labels in it. */
  readonly score: number;
}

const kindOf = (label: string): string => label.slice(2);
const isOpen = (label: string): boolean => label.startsWith('B-') || label.startsWith('I-');
const goesOn = (label: string): boolean => label.startsWith('I-') || label.startsWith('E-');

/** Whether a label may stand behind another, or null for the text's beginning. */
const mayFollow = (before: string | null, label: string): boolean =>
  before !== null && isOpen(before) ? goesOn(label) && kindOf(label) === kindOf(before) : !goesOn(label);

/**
 * The likeliest row of labels in which spans are whole (Viterbi): what begins goes on and ends.
 * @param logits [T, labels]
 * @returns of each token the index of its label
 */
export function likeliestLabels(logits: Float32Array, names: readonly string[]): number[] {
  const count = names.length;
  const before = names.map((b) => names.flatMap((a, at) => (mayFollow(a, b) ? [at] : [])));
  let sums = names.map((name, n) => (mayFollow(null, name) ? logits[n]! : -Infinity));
  const from: number[][] = [];
  for (let t = 1; t < logits.length / count; t++) {
    const best = before.map((all) => all.reduce((a, b) => (sums[b]! > sums[a]! ? b : a)));
    sums = best.map((a, n) => sums[a]! + logits[t * count + n]!);
    from.push(best);
  }
  const ends = names.map((name, n) => (isOpen(name) ? -Infinity : sums[n]!));
  const row = [ends.indexOf(Math.max(...ends))];
  for (const best of from.reverse()) row.push(best[row.at(-1)!]!);
  return row.reverse();
}

/** Of one token: what its logits make of label `at`. */
export const probabilityOf = (logits: Float32Array, at: number): number =>
  1 / logits.reduce((sum, logit) => sum + Math.exp(logit - logits[at]!), 0);

/** @param logits [T, labels] @param places of the tokens */
export function spansOf(
  text: string,
  logits: Float32Array,
  { names, places }: { readonly names: readonly string[]; readonly places: readonly Place[] },
): LabelledSpan[] {
  const count = names.length;
  const row = likeliestLabels(logits, names);
  const found: LabelledSpan[] = [];
  let first = 0;
  row.forEach((at, t) => {
    const label = names[at]!;
    if (!goesOn(label)) first = t;
    if (label === 'O' || isOpen(label)) return;
    const shares = row.slice(first, t + 1).map((at, i) => {
      const from = (first + i) * count;
      return probabilityOf(logits.subarray(from, from + count), at);
    });
    const score = shares.reduce((a, b) => a + b, 0) / shares.length;
    found.push(...trimmed(text, [places[first]![0], places[t]![1]], { label: kindOf(label), score }));
  });
  return found;
}

/** None where there are only blanks. */
function trimmed(text: string, [from, to]: Place, of: Pick<LabelledSpan, 'label' | 'score'>): LabelledSpan[] {
  const whole = text.slice(from, to);
  const start = from + whole.length - whole.trimStart().length;
  const end = from + whole.trimEnd().length;
  return end > start ? [{ start, end, text: text.slice(start, end), ...of }] : [];
}
