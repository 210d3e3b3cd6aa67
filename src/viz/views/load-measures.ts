/** What balance is measured by: each measure by its published name. */
import {
  deviceBalance,
  importanceCv2,
  loadCv2,
  routerZLoss,
  sequenceBalance,
  switchLoss,
} from '../../trace/stats/balance.ts';
import type { Measured } from '../../trace/stats/chance.ts';
import { expertInformation } from '../../trace/stats/information.ts';
import { loadStats } from '../../trace/stats/load.ts';
import type { LayerCounts, Part } from '../../trace/stats/select.ts';
import type { Trace } from '../../trace/trace.ts';
import { percent, short } from '../words.ts';

export interface MeasureInput {
  readonly trace: Trace;
  readonly part: Part;
  readonly counts: LayerCounts;
  readonly devices: number;
}

export interface LoadMeasure {
  readonly name: string;
  readonly group: 'evenness' | 'losses' | 'devices' | 'information';
  /** Formula and source. */
  readonly definition: string;
  readonly words: (value: number) => string;
  /** null: the trace lacks what it takes. */
  readonly of: (input: MeasureInput, layer: number) => Measured | null;
  /** What the trace then lacks. */
  readonly needs?: string;
}

type Evenness = Exclude<keyof ReturnType<typeof loadStats>, 'share'>;

const even = (
  name: string,
  key: Evenness,
  definition: string,
  words: (value: number) => string = short,
): LoadMeasure => ({
  name,
  group: 'evenness',
  definition,
  words,
  of: ({ counts }, layer) => loadStats(counts, layer)[key],
});

/** Shuffles of a quick look; the statistic's own default is more. */
const RUNS = 40;
const LOGITS = 'router logits (record them with the routing level “logits”)';

export const LOAD_MEASURES: readonly LoadMeasure[] = [
  even('CV', 'cv', 'σ/μ of the experts’ loads; 0 is even.'),
  even('MaxVio', 'maxVio', 'max/mean − 1 (Wang et al. 2024); one more is the imbalance that EPLB prints.'),
  even('Normalised entropy', 'entropy', 'H(f)/ln E; 1 is even. It hardly moves near 1.'),
  even('Effective experts', 'effective', 'exp H(f): as many evenly used experts have this entropy.'),
  even('Gini', 'gini', '0 is even, (E − 1)/E when one expert has all.'),
  even('Top quarter', 'topQuarter', 'Share of the busiest quarter of the experts.', percent),
  even('Unused', 'unused', 'Share of experts that no token took.', percent),
  even('Under a tenth', 'rare', 'Share of experts with under 10 % of an even load.', percent),
  {
    name: 'Switch f·P',
    group: 'losses',
    definition: 'E·Σ f_i·P_i, f and P summing to 1 (Fedus et al. 2021), of this layer alone; 1 is balance.',
    words: short,
    of: ({ counts }, layer) => switchLoss(counts, layer),
    needs: LOGITS,
  },
  {
    name: 'Sequence balance',
    group: 'losses',
    definition: 'The same within each chat, then the mean (DeepSeek-V3, eq. 17–20).',
    words: short,
    of: ({ trace, part }, layer) => sequenceBalance(trace, layer, part),
    needs: LOGITS,
  },
  {
    name: 'Importance CV²',
    group: 'losses',
    definition: '(σ/μ)² of the summed gate weights (Shazeer et al. 2017).',
    words: short,
    of: ({ trace, part }, layer) => importanceCv2(trace, layer, part),
    needs: 'gate weights',
  },
  {
    name: 'Load CV²',
    group: 'losses',
    definition: '(σ/μ)² of the counts (Shazeer et al. 2017).',
    words: short,
    of: ({ counts }, layer) => loadCv2(counts, layer),
  },
  {
    name: 'Router z-loss',
    group: 'losses',
    definition: 'Mean of (ln Σ exp z)² (Zoph et al. 2022). Chance says nothing about it.',
    words: short,
    of: ({ trace, part }, layer) => routerZLoss(trace, layer, part),
    needs: LOGITS,
  },
  {
    name: 'Device balance',
    group: 'devices',
    definition: 'MaxVio of D groups of neighbouring experts (after DeepSeek-V2).',
    words: short,
    of: ({ counts, devices }, layer) => deviceBalance(counts, layer, devices),
  },
  {
    name: 'I(expert; token)',
    group: 'information',
    definition: `Bits that a token’s id says about its experts; the band shuffles ids among tokens (${RUNS} times).`,
    words: short,
    of: ({ trace, part }, layer) => expertInformation(trace, layer, 'token', part, { runs: RUNS })?.bits ?? null,
    needs: 'token ids',
  },
  {
    name: 'I(expert; domain)',
    group: 'information',
    definition: `Bits that the kind of text says about its experts; the band shuffles chats among domains (${RUNS} times).`,
    words: short,
    of: ({ trace, part }, layer) => expertInformation(trace, layer, 'domain', part, { runs: RUNS })?.bits ?? null,
    needs: 'chats of at least two domains',
  },
];
