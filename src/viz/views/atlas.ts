/** A map of all experts. */
import { atlasOf, type Atlas } from '../../trace/stats/atlas.ts';
import { domainNames } from '../../trace/stats/domains.ts';
import { chatsOf, countsOf, type LayerCounts } from '../../trace/stats/select.ts';
import { TOKEN_TYPES, tokenType, type TokenType } from '../../trace/stats/token-type.ts';
import { typesOf } from '../../trace/stats/vocabulary.ts';
import type { Trace } from '../../trace/trace.ts';
import { scatterView, type ScatterStyle } from '../figures/scatter.ts';
import { lacksTokens } from '../lacks.ts';
import { css, hue, viridis } from '../ramps.ts';
import type { Context, View } from '../view.ts';
import { count, expertName, percent } from '../words.ts';

interface AtlasState extends Readonly<Record<string, string>> {
  readonly by: 'chat' | 'domain' | 'type';
  readonly colour: 'layer' | 'type';
}

interface Map2d {
  readonly atlas: Atlas;
  readonly counts: LayerCounts;
  readonly by: AtlasState['by'];
  /** [L, E], index of the type of token that the expert takes most beyond its base rate; -1: unknown. */
  readonly favourite: Int8Array | null;
}

/** Two axes cannot show more than two differences. */
const LEAST_GROUPS = 3;

const GROUPINGS = [
  ['chat', 'chats'],
  ['domain', 'kinds of text'],
  ['type', 'types of token'],
] as const;

function groupsOf(by: AtlasState['by'], trace: Trace): ArrayLike<number> | null {
  const chats = chatsOf(trace);
  if (by === 'chat') return new Set(chats).size >= LEAST_GROUPS ? chats : null;
  if (by === 'type') return trace.texts ? trace.texts.map((text) => TOKEN_TYPES.indexOf(tokenType(text))) : null;
  const names = domainNames(trace);
  if (names.length < LEAST_GROUPS) return null;
  return chats.map((chat) => names.indexOf(trace.chats?.[chat]?.domain ?? null));
}

const possible = (trace: Trace): readonly AtlasState['by'][] =>
  GROUPINGS.map(([by]) => by).filter((by) => groupsOf(by, trace) !== null);

const byOf = (trace: Trace, { by }: AtlasState): AtlasState['by'] => {
  const known = possible(trace);
  return known.includes(by) ? by : (known[0] ?? 'chat');
};

function favouritesOf({ trace, part }: Context<AtlasState>): Int8Array | null {
  const { layers, experts } = trace.model;
  const favourite = new Int8Array(layers * experts).fill(-1);
  for (let l = 0; l < layers; l++) {
    const table = typesOf(trace, l, part);
    if (!table) return null;
    for (let e = 0; e < experts; e++) {
      let best = 0;
      table.tokens.forEach((all, t) => {
        const lift = all > 0 ? table.counts[t * experts + e]! / all : 0;
        if (lift > best) [best, favourite[l * experts + e]] = [lift, t];
      });
    }
  }
  return favourite;
}

function compute(context: Context<AtlasState>): Map2d {
  const { trace, part, state } = context;
  const by = byOf(trace, state);
  return {
    atlas: atlasOf(trace, part, groupsOf(by, trace) ?? undefined),
    counts: countsOf(trace, part),
    by,
    favourite: favouritesOf(context),
  };
}

const typeStyle = (type: number): ScatterStyle => ({ colour: hue(type), shape: type % 3 });

function legendOf(
  { favourite, counts: { layers } }: Map2d,
  byType: boolean,
): (ScatterStyle & { readonly label: string })[] {
  if (byType && favourite)
    return TOKEN_TYPES.map((label: TokenType, t) => ({ label, ...typeStyle(t) })).filter((_, t) =>
      favourite.includes(t),
    );
  const marks = [...new Set([0, Math.floor((layers - 1) / 2), layers - 1])];
  return marks.map((l) => ({ label: `layer ${l}`, colour: layerColour(l, layers), shape: 0 }));
}
const layerColour = (layer: number, layers: number): string => css(viridis(layers > 1 ? layer / (layers - 1) : 0.5));

export const atlas: View<Map2d, AtlasState> = {
  question: 'Which experts are alike?',
  reading:
    'Every point is an expert of one layer; experts that the same texts take lie near each other. The axes have no meaning: only nearness counts.',
  method: [
    'Fingerprint of an expert: for each group of tokens, log2 of its share of the layer’s choices there over its share in all, 0.5 added to each count. The map is their first two principal components (Hotelling 1933), computed from a fixed start: the same trace always gives the same map.',
    'By chance, fingerprints of G groups are a cloud that is alike in all of its G − 1 directions, so that any two axes keep 2/(G − 1) of the variance. Experts that few tokens took have rough fingerprints and lie far out.',
    'Points of different layers are comparable by their taste only; their numbers have nothing to do with each other. A type is that whose tokens take the expert most often for their number.',
  ],
  observed: true,
  axes: ['phase'],
  state: { by: 'chat', colour: 'layer' },
  heavy: true,
  controls: ({ trace }) => [
    {
      kind: 'choice',
      name: 'by',
      label: 'Alike in',
      options: GROUPINGS.filter(([by]) => possible(trace).includes(by)),
    },
    {
      kind: 'choice',
      name: 'colour',
      label: 'Colour',
      options: [['layer', 'layer'] as const, ...(trace.texts ? [['type', 'favourite type of token'] as const] : [])],
    },
  ],
  lacks: (trace, context) =>
    possible(trace).length > 0
      ? lacksTokens(trace, context)
      : 'This trace has fewer than three chats and no token texts: there is nothing to be alike in. Record several prompts with `webmoe trace record --prompts FILE`.',
  compute,
  figure: (data, { trace, state, selection, brush, width, say }) => {
    const { layers, experts } = trace.model;
    const byType = state.colour === 'type' && data.favourite !== null;
    const type = (at: number): string =>
      data.favourite && data.favourite[at]! >= 0 ? `, most for ${TOKEN_TYPES[data.favourite[at]!]!}` : '';
    return scatterView({
      label: 'Map of the experts of all layers',
      x: data.atlas.x,
      y: data.atlas.y,
      style: (at) =>
        byType && data.favourite![at]! >= 0
          ? typeStyle(data.favourite![at]!)
          : { colour: layerColour(Math.floor(at / experts), layers), shape: 0 },
      legend: legendOf(data, byType),
      name: (at) => expertName(Math.floor(at / experts), at % experts),
      describe: (at) =>
        `${expertName(Math.floor(at / experts), at % experts)}: ${count(data.counts.counts[at]!, 'choice')}${type(at)}`,
      cursor: selection.expert === null ? null : selection.layer * experts + selection.expert,
      row: experts,
      width,
      height: Math.min(480, Math.max(260, 0.62 * width)),
      say,
      select: (at) => brush.select({ layer: Math.floor(at / experts), expert: at % experts }),
    });
  },
  summary: ({ atlas: { x, explained, groups }, counts: { tokens }, by }) => {
    const seen = x.reduce((n, v) => n + (Number.isNaN(v) ? 0 : 1), 0);
    return `${count(tokens, 'token')}, ${count(seen, 'expert')} by their share in ${groups} ${GROUPINGS.find(([g]) => g === by)![1]}. The two axes keep ${percent(
      explained[0] + explained[1],
    )} of the differences; by chance about ${percent(Math.min(1, 2 / Math.max(1, groups - 1)))}.`;
  },
  table: ({ atlas: { x, y }, counts, favourite }) => ({
    caption: 'Place of each expert on the map; the axes have no meaning.',
    columns: ['layer', 'expert', 'x', 'y', 'choices', 'favourite type'],
    rows: Array.from(x, (_, at) => [
      Math.floor(at / counts.experts),
      at % counts.experts,
      Number.isNaN(x[at]!) ? null : x[at]!,
      Number.isNaN(y[at]!) ? null : y[at]!,
      counts.counts[at]!,
      favourite && favourite[at]! >= 0 ? TOKEN_TYPES[favourite[at]!]! : null,
    ]),
  }),
};
