/** The text itself, each token with the experts that took it. */
import { html, svg, type TemplateResult } from 'lit';
import { guard } from 'lit/directives/guard.js';
import type { Measured } from '../../trace/stats/chance.ts';
import { repetitionOf } from '../../trace/stats/repetition.ts';
import { countsOf, rowsOf, type LayerCounts } from '../../trace/stats/select.ts';
import { gateBars, gateHeight } from '../figures/gate-bars.ts';
import { flowTokens, type Flow, type Placed } from '../figures/text-flow.ts';
import { HUES } from '../ramps.ts';
import { lacksTokens } from '../lacks.ts';
import { chosenAt, nearest, pageOf, routeWords, spanName, spansOf } from '../route.ts';
import type { Context, View } from '../view.ts';
import { bandWords, count, expertName, percent } from '../words.ts';

interface Strip {
  readonly rows: Uint32Array;
  /** Of tokens in a row. */
  readonly first: Measured;
  readonly counts: LayerCounts;
  /** [E], index into HUES. */
  readonly hues: Uint8Array;
  /** Tells hues of one time from those of another. */
  readonly hueKey: string;
  /** The token under the pointer. */
  over: number | null;
}

/** Tokens in the page at a time: a trace of 10,000 has no more nodes than one of 240. */
export const PAGE = 240;
/** The last hue is grey, for all that have none of their own. */
const OTHERS = HUES.length - 1;
/** Of tokens that stay in their chips: numbers of the two experts that count most. */
const SHOWN = 2;

/** Up to eight experts have a hue each; of more, the seven busiest of the layer, and the others share grey. Equal ones go by number. */
export function huesOf({ experts, counts }: LayerCounts, layer: number): Uint8Array {
  const hues = Uint8Array.from({ length: experts }, (_, e) => (experts <= HUES.length ? e : OTHERS));
  if (experts <= HUES.length) return hues;
  const load = counts.subarray(layer * experts, (layer + 1) * experts);
  const order = Array.from(load.keys()).sort((a, b) => load[b]! - load[a]! || a - b);
  order.slice(0, OTHERS).forEach((expert, i) => (hues[expert] = i));
  return hues;
}

const numberWidth = (expert: number): number => 6 + 5.6 * String(expert).length;

function chipOf(
  strip: Strip,
  context: Context,
  token: number,
): { readonly width: number; readonly parts: readonly Chip[] } {
  const { trace, selection } = context;
  const chosen = chosenAt(trace, token, selection.layer).slice(0, SHOWN);
  const parts = chosen.map(({ expert, weight }) => ({
    expert,
    width: numberWidth(expert),
    hue: strip.hues[expert]!,
    weight: weight ?? 1,
  }));
  return { width: parts.reduce((sum, { width }) => sum + width, 0), parts };
}
interface Chip {
  readonly expert: number;
  readonly width: number;
  readonly hue: number;
  readonly weight: number;
}

function flowOf(strip: Strip, context: Context): Flow {
  const { trace, selection, width } = context;
  const { from, to } = pageOf(trace, strip.rows, selection.token, PAGE);
  const rows = strip.rows.subarray(from, to);
  return flowTokens({
    tokens: [...rows],
    text: (token) => trace.texts?.[token] ?? `#${token}`,
    least: (token) => chipOf(strip, context, token).width,
    breaks: spansOf(trace, rows).map((span) => ({ at: span.from, title: spanName(trace, span) })),
    width,
  });
}

/** While a model writes, only what changed is made again: a token stays where it is once its line is full. */
function tokenView(strip: Strip, context: Context, placed: Placed): unknown {
  const { trace, selection, dropped } = context;
  const { token, x, y, width, text } = placed;
  const state = `${token === selection.token ? 'on' : ''} ${token === selection.pinned ? 'pinned' : ''} ${dropped?.has(token) ? 'dropped' : ''}`;
  const of = [trace.ids.buffer, token, x, y, width, text, state, selection.layer, strip.hueKey];
  return guard(of, () => tokenDrawing(strip, context, placed, state));
}

function tokenDrawing(strip: Strip, context: Context, { token, x, y, width, text }: Placed, state: string): unknown {
  const { parts } = chipOf(strip, context, token);
  const extra = width - parts.reduce((sum, part) => sum + part.width, 0);
  const total = parts.reduce((sum, part) => sum + part.weight, 0) || 1;
  let left = x;
  return svg`<g class="token ${state}" data-token=${token}>
    <rect class="back" x=${x - 2} y=${y - 1} width=${width + 4} height="35" rx="4"></rect>
    <text class="word" x=${x} y=${y + 12}>${text}</text>
    ${parts.map((part) => {
      const wide = part.width + (extra * part.weight) / total;
      const chip = svg`<rect x=${left} y=${y + 18} width=${Math.max(1, wide - 1)} height="13" rx="2" fill=${HUES[part.hue]!}></rect>
        <text class=${part.hue === 0 ? 'number light' : 'number'} x=${left + (wide - 1) / 2} y=${y + 28} text-anchor="middle">${part.expert}</text>`;
      left += wide;
      return chip;
    })}
  </g>`;
}

const wordsOf = ({ trace, selection, dropped }: Context, token: number): string =>
  routeWords(trace, token, selection.layer) + (dropped?.has(token) ? ', dropped' : '');

/** The token under the pointer, or null between tokens. */
function tokenAt(event: Event): number | null {
  const { token } = (event.target as Element).closest<SVGElement>('.token')?.dataset ?? {};
  return token === undefined ? null : Number(token);
}

function point(event: Event, strip: Strip, context: Context): void {
  const token = tokenAt(event);
  if (token === null || token === strip.over) return;
  strip.over = token;
  context.say(wordsOf(context, token));
  context.redraw();
}

function choose(event: MouseEvent, { brush, selection }: Context): void {
  const token = tokenAt(event);
  if (token === null) return;
  brush.select(event.shiftKey ? { pinned: token === selection.pinned ? null : token } : { token });
}

function keys(event: KeyboardEvent, strip: Strip, { placed }: Flow, context: Context): void {
  const { brush, selection, say } = context;
  const { rows } = strip;
  const at = selection.token === null ? nearest(rows, placed[0]?.token ?? 0) - 1 : nearest(rows, selection.token);
  if (event.key === 'p' || event.key === 'P') {
    brush.select({ pinned: selection.token === selection.pinned ? null : selection.token });
    say(selection.token === null ? 'No token is selected.' : `token ${selection.token} pinned to compare`);
    return;
  }
  if (event.key === 'Escape') return brush.select({ token: null });
  const to = {
    ArrowLeft: at - 1,
    ArrowRight: at + 1,
    ArrowUp: besideLine(placed, rows, at, -1),
    ArrowDown: besideLine(placed, rows, at, 1),
    Home: 0,
    End: rows.length - 1,
    PageUp: at - PAGE,
    PageDown: at + PAGE,
  }[event.key];
  if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const token = rows[Math.min(rows.length - 1, Math.max(0, to))]!;
  brush.select({ token });
  say(wordsOf(context, token));
}

/** The token above or below, by place on the page. */
function besideLine(placed: readonly Placed[], rows: Uint32Array, at: number, by: 1 | -1): number {
  const here = placed.find(({ token }) => token === rows[at]);
  const lines = [...new Set(placed.map(({ y }) => y))];
  const y = here && lines[lines.indexOf(here.y) + by];
  if (!here || y === undefined) return at + by;
  const line = placed.filter((other) => other.y === y);
  const best = line.reduce((a, b) => (Math.abs(b.x - here.x) < Math.abs(a.x - here.x) ? b : a));
  return nearest(rows, best.token);
}

function figure(strip: Strip, context: Context): TemplateResult {
  const { trace, selection, width } = context;
  const flow = flowOf(strip, context);
  const shown = strip.over ?? selection.token ?? flow.placed[0]?.token ?? null;
  const keyHeight = 22 * Math.ceil((HUES.length * 54) / Math.max(54, width));
  const head = keyHeight + gateHeight(trace.model.topK, width) + 6;
  const height = head + flow.height;
  return html`<div
    class="plot strip"
    tabindex="0"
    role="application"
    aria-roledescription="token strip"
    aria-label="Tokens with their experts. Arrow keys move from token to token, P pins one to compare, Escape lets go."
    @keydown=${(event: KeyboardEvent) => keys(event, strip, flow, context)}
    @pointerleave=${() => {
      strip.over = null;
      context.redraw();
    }}
  >
    <svg class="figure" width=${width} height=${height} viewBox="0 0 ${width} ${height}">
      <title>Tokens and their experts in layer ${selection.layer}</title>
      ${hueKey(strip, context)}
      ${shown === null ? null : gateBars(trace, shown, selection.layer, keyHeight, width, (e) => HUES[strip.hues[e]!]!)}
      <g
        transform="translate(0 ${head})"
        @pointerover=${(event: PointerEvent) => point(event, strip, context)}
        @click=${(event: MouseEvent) => choose(event, context)}
      >
        ${flow.titles.map(({ y, title }) => svg`<text class="axis" x="2" y=${y + 12}>${title}</text>`)}
        ${flow.placed.map((placed) => tokenView(strip, context, placed))}
      </g>
    </svg>
  </div>`;
}

/** Which hue is which expert, and how much of the layer it takes. */
function hueKey({ hues, counts }: Strip, { width }: Context): unknown {
  const entries = HUES.map((hue, i) => ({ hue, i, expert: hues.indexOf(i) })).filter(({ expert }) => expert >= 0);
  const columns = Math.max(1, Math.floor(width / 54));
  return entries.map(({ hue, i, expert }, n) => {
    const [x, y] = [2 + (n % columns) * 54, 2 + Math.floor(n / columns) * 20];
    const words = i === OTHERS && counts.experts > HUES.length ? 'others' : `E${expert}`;
    return svg`<rect x=${x} y=${y} width="10" height="10" rx="2" fill=${hue}></rect><text class="tick" x=${x + 14} y=${y + 9}>${words}</text>`;
  });
}

const turn = (by: 1 | -1, { trace, part, brush, selection }: Context): void => {
  const rows = rowsOf(trace, part);
  const { from } = pageOf(trace, rows, selection.token, PAGE);
  brush.select({ token: rows[Math.min(rows.length - 1, Math.max(0, from + by * PAGE))]! });
};

function pager(context: Context): readonly [from: number, to: number, all: number] {
  const rows = rowsOf(context.trace, context.part);
  const { from, to } = pageOf(context.trace, rows, context.selection.token, PAGE);
  return [from, to, rows.length];
}

export const tokenStrip: View<Strip> = {
  question: 'Which experts read this text?',
  reading:
    'Below each token are the numbers of the experts that count most for it in the chosen layer, first and second; the colour repeats the number.',
  method: [
    'The number is the rule, the colour helps to see runs: of more than eight experts the seven busiest of this layer have a colour, the others share grey. Numbers and colours mean nothing in another layer.',
    'The bars give the gate weights of all experts that the token took. By chance each of E experts takes K/E of the tokens, and the first expert of two tokens in a row is the same with probability 1/E. After figure 8 of Mixtral of Experts (Jiang et al. 2024, arXiv 2401.04088).',
  ],
  observed: true,
  axes: ['phase', 'chat', 'layer'],
  state: {},
  lacks: lacksTokens,
  controls: (context) => {
    const [from, to, all] = pager(context);
    return all <= PAGE
      ? []
      : [
          { kind: 'action', label: '← Earlier', run: () => turn(-1, context), disabled: from === 0 },
          { kind: 'action', label: 'Later →', run: () => turn(1, context), disabled: to === all },
        ];
  },
  compute: ({ trace, part, selection: { layer } }) => {
    const counts = countsOf({ ...trace, logits: null }, part);
    const first = repetitionOf(trace, layer, part)[0]!.sameTop;
    const hues = huesOf(counts, layer);
    return { rows: rowsOf(trace, part), first, counts, hues, hueKey: hues.join(), over: null };
  },
  figure,
  summary: ({ first, counts: { experts, topK } }, context) => {
    const [from, to, all] = pager(context);
    return `${count(all, 'token')}${all > PAGE ? `, ${from} to ${to - 1} shown` : ''}; the first expert is that of the token before in ${percent(first.value)} of ${first.n} (chance: ${bandWords(first.chance)}); each expert takes ${percent(topK / experts)} of the tokens by chance.${
      context.trace.texts ? '' : ' The trace has no texts: places are shown.'
    }`;
  },
  table: ({ rows }, { trace, selection: { layer } }) => ({
    caption: `What each token took in layer ${layer}.`,
    columns: ['token', 'text', 'rank', 'expert', 'gate weight'],
    rows: [...rows].flatMap((token) =>
      chosenAt(trace, token, layer).map(({ expert, weight }, rank) => [
        token,
        trace.texts?.[token] ?? null,
        rank + 1,
        expertName(layer, expert),
        weight,
      ]),
    ),
  }),
};
