/** What one token took in a layer, in words and numbers, and where it stands. */
import { rowsOf, takenAt, type Part } from '../trace/stats/select.ts';
import type { Trace, TraceStep } from '../trace/trace.ts';
import { short, tokenName } from './words.ts';

export interface Chosen {
  readonly expert: number;
  /** null: nobody recorded gate weights. */
  readonly weight: number | null;
}

/** In rank order; none where the layer did not run for the token. */
export function chosenAt(trace: Trace, token: number, layer: number): Chosen[] {
  const { layers, topK } = trace.model;
  const at = (token * layers + layer) * topK;
  return Array.from({ length: takenAt(trace, at) }, (_, k) => ({
    expert: trace.ids[at + k]!,
    weight: trace.weights ? trace.weights[at + k]! : null,
  }));
}

/** Its text with white space made visible, or its place in the trace. */
export const tokenLabel = ({ texts }: Trace, token: number): string =>
  texts ? `“${tokenName(texts[token]!)}”` : `#${token}`;

export const chosenWords = (chosen: readonly Chosen[]): string =>
  chosen.length === 0
    ? 'not run'
    : chosen.map(({ expert, weight }) => `E${expert}${weight === null ? '' : ` ${short(weight)}`}`).join(', ');

/** `token 12 “the”, layer 3: E5 0.621, E1 0.379` */
export const routeWords = (trace: Trace, token: number, layer: number): string =>
  `token ${token} ${trace.texts ? `${tokenLabel(trace, token)}, ` : ''}layer ${layer}: ${chosenWords(chosenAt(trace, token, layer))}`;

/** Tokens of one chat and phase that follow each other. */
export interface Span {
  /** Indices into the rows given; `to` is past the end. */
  readonly from: number;
  readonly to: number;
  readonly chat: number;
  readonly phase: TraceStep['phase'];
}

export function spansOf({ steps }: Trace, rows: Uint32Array): Span[] {
  const spans: Span[] = [];
  let [step, end] = [-1, 0];
  rows.forEach((row, i) => {
    while (row >= end) end += steps[++step]!.tokens;
    const { chat, phase } = steps[step]!;
    const last = spans.at(-1);
    if (last?.chat === chat && last.phase === phase) spans[spans.length - 1] = { ...last, to: i + 1 };
    else spans.push({ from: i, to: i + 1, chat, phase });
  });
  return spans;
}

export const spanName = ({ chats }: Trace, { chat, phase }: Span): string =>
  `${chats ? `${chats[chat]?.name ?? `chat ${chat}`} · ` : chat > 0 ? `chat ${chat} · ` : ''}${phase === 'prefill' ? 'prompt' : 'answer'}`;

/** The page of `rows` that holds a token; without one the last page while a model answers, else the first. */
export function pageOf(
  trace: Trace,
  rows: Uint32Array,
  token: number | null,
  size: number,
): { readonly from: number; readonly to: number } {
  const tail = trace.provenance?.kind === 'live' ? rows.length - 1 : 0;
  const at = token === null ? tail : nearest(rows, token);
  const from = Math.max(0, Math.floor(at / size) * size);
  return { from, to: Math.min(rows.length, from + size) };
}

/** Index of the row that is the token, or the first after it, or the last. */
export function nearest(rows: Uint32Array, token: number): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle]! < token) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, Math.min(rows.length - 1, low));
}

/** The selected token if the part has it, else the last one of the part. */
export function tokenIn(trace: Trace, part: Part, token: number | null): number | null {
  const rows = rowsOf(trace, part);
  if (rows.length === 0) return null;
  return token === null ? rows[rows.length - 1]! : rows[nearest(rows, token)]!;
}
