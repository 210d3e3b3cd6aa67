/** Where every expert is. */
import type { Trace } from '../../trace/trace.ts';
import { replayAside } from '../../trace/replay.ts';
import { CACHE_STATE, cacheControls, replayProvenance, ruleName, slotsOf, type CacheState } from '../cache.ts';
import { PLACES } from '../../trace/places.ts';
import type { Residency } from '../places.ts';
import { matrixView } from '../figures/matrix.ts';
import type { Ramp } from '../ramps.ts';
import type { View } from '../view.ts';
import { count, expertName, percent } from '../words.ts';

interface Map {
  readonly state: Uint8Array;
  /** Steps since the expert was last used; -1: never. */
  readonly idle: Int32Array | null;
  readonly isLive: boolean;
  readonly step: number;
}

/** Okabe and Ito's blue to orange through grey, darkest for what is farthest; words say the same. */
const COLOURS = [
  [90, 90, 90],
  [0, 114, 178],
  [86, 180, 233],
  [240, 228, 66],
  [230, 159, 0],
] as const;
const places: Ramp = (value) => COLOURS[Math.min(4, Math.max(0, Math.round(value * 4)))]!;

/** A replay knows these two only. */
const REPLAYED = [PLACES.indexOf('on disk'), PLACES.indexOf('on the card')];

const stepOf = ({ steps }: Trace, token: number | null): number => {
  let end = 0;
  for (const [i, step] of steps.entries()) if (token !== null && token < (end += step.tokens)) return i;
  return steps.length - 1;
};

async function replayed(trace: Trace, { policy, share }: CacheState, until: number): Promise<Map> {
  const { layers, experts } = trace.model;
  const state = new Uint8Array(layers * experts).fill(PLACES.indexOf('on disk'));
  const last = new Int32Array(layers * experts).fill(-1);
  await replayAside(
    { ...trace, steps: trace.steps.slice(0, until + 1) },
    {
      policy,
      capacity: { slots: slotsOf(trace, share) },
      watch: ({ step, layer, needed, has }) => {
        for (const expert of needed) last[layer * experts + expert] = step;
        if (step === until && layer === layers - 1)
          for (let key = 0; key < state.length; key++)
            if (has(Math.floor(key / experts), key % experts)) state[key] = PLACES.indexOf('on the card');
      },
    },
  );
  return { state, idle: last.map((step) => (step < 0 ? -1 : until - step)), isLive: false, step: until };
}

export const residency: View<Map, CacheState> = {
  question: 'Where is each expert now?',
  reading:
    'A row is a layer, a column an expert of it; the colour says how far away it is: on the card, in memory, on disk.',
  method: [
    'While a model runs this is what its expert store says. For a trace, the chosen rule is replayed with the chosen number of slots up to the selected token, starting empty: a simulation.',
    'Chance: with routing at random any expert is on the card with the share of experts that have a slot.',
  ],
  axes: ['token'],
  state: CACHE_STATE,
  extra: ['residency'],
  provenance: (context) => (liveOf(context) ? (context.trace.provenance ?? null) : replayProvenance(context.trace)),
  perToken: true,
  heavy: true,
  controls: (context) => (liveOf(context) ? [] : cacheControls),
  compute(context) {
    const live = liveOf(context);
    if (live) return { state: live.state, idle: null, isLive: true, step: context.trace.steps.length - 1 };
    return replayed(context.trace, context.state, stepOf(context.trace, context.selection.token));
  },
  figure: ({ state, idle, isLive }, { trace, selection, brush, width, say }) => {
    const { layers, experts } = trace.model;
    return matrixView({
      rows: layers,
      columns: experts,
      values: state,
      ramp: places,
      domain: [0, PLACES.length - 1],
      label: 'Where each expert is, by layer',
      rowLabel: String,
      columnLabel: String,
      rowTitle: 'layer',
      columnTitle: 'expert of that layer',
      legend: (value) => PLACES[value]!,
      classes: isLive ? PLACES.map((_, place) => place) : REPLAYED,
      describe: ({ row, column }) => {
        const since = idle?.[row * experts + column];
        return `${expertName(row, column)}: ${PLACES[state[row * experts + column]!]}${
          since === undefined ? '' : since < 0 ? ', not used yet' : `, last used ${count(since, 'step')} ago`
        }`;
      },
      cursor: selection.expert === null ? null : { row: selection.layer, column: selection.expert },
      width,
      say,
      select: ({ row, column }) => brush.select({ layer: row, expert: column }),
    });
  },
  summary: ({ state, isLive, step }, { state: { policy, share } }) => {
    const here = state.reduce((n, place) => n + (place === PLACES.length - 1 ? 1 : 0), 0);
    return `${isLive ? 'The model that is loaded' : `Simulation: ${ruleName(policy)}, ${percent(share, 0)} of the experts in slots, after step ${step}`}. ${here} of ${count(
      state.length,
      'expert',
    )} on the card${isLive ? '' : `; by chance each is there with ${percent(share, 0)}`}.`;
  },
  table: ({ state, idle }, { trace: { model } }) => ({
    caption: 'Every expert.',
    columns: ['layer', 'expert', 'place', 'steps since last use'],
    rows: Array.from(state, (place, key) => [
      Math.floor(key / model.experts),
      key % model.experts,
      PLACES[place]!,
      idle && idle[key]! >= 0 ? idle[key]! : null,
    ]),
  }),
};

const liveOf = (context: { readonly extra: Readonly<Record<string, unknown>> }): Residency | null =>
  (context.extra.residency as Residency | null | undefined) ?? null;
