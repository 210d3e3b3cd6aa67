/** The counts that the OLMoE paper's authors published, and what is known of them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  countsFrom,
  differenceOf,
  distanceOf,
  informationOf,
  loadStats,
  overflowOf,
  popularityCurve,
  type LayerCounts,
} from '../../../../src/trace/stats/index.ts';

const read = (name: string): unknown =>
  JSON.parse(readFileSync(join(import.meta.dirname, `../../../fixtures/olmoe-paper/${name}.json`), 'utf8'));
const MODELS = { mixtral: 2, olmoe: 8 } as const;
type Model = keyof typeof MODELS;

const counts = (model: Model): Record<string, LayerCounts> =>
  Object.fromEntries(
    Object.entries(read(`${model}-expert-counts`) as Record<string, number[][]>).map(([domain, rows]) => [
      domain,
      countsFrom(rows, MODELS[model]),
    ]),
  );
const all = { mixtral: counts('mixtral'), olmoe: counts('olmoe') };
const pairs = (model: Model): Record<string, number[][][]> =>
  read(`${model}-cross-layer-pairs`) as Record<string, number[][][]>;
/** The rows of the file: layers 0, 7, 15. */
const LAYERS = [0, 1, 2];

describe('published counts', () => {
  it('are of as many tokens as they say', () => {
    for (const of of [...Object.values(all.mixtral), ...Object.values(all.olmoe)]) expect(of.tokens).toBe(208_896);
  });

  it.each([
    ['mixtral', 'c4', '.9977 .097 0.12', '.9996 .041 0.08', '.9936 .155 0.12'],
    ['mixtral', 'github', '.9968 .120 0.30', '.9964 .123 0.25', '.9919 .184 0.33'],
    ['olmoe', 'c4', '.9897 .324 2.02', '.9817 .402 1.66', '.9683 .512 1.50'],
    ['olmoe', 'github', '.9610 .661 4.01', '.8514 1.349 5.16', '.8530 1.190 3.51'],
    ['olmoe', 'wikipedia', '.9389 .898 5.18', '.9128 1.023 5.78', '.8293 1.301 3.65'],
  ] as const)('%s, %s: H/ln E, CV and MaxVio of layers 0, 7, 15', (model, domain, ...rows) => {
    const digits = (value: number, places: number): string => value.toFixed(places).replace(/^0\.(?=\d{3})/, '.');
    const ours = LAYERS.map((l) => {
      const { entropy, cv, maxVio } = loadStats(all[model][domain]!, l);
      return `${digits(entropy.value, 4)} ${digits(cv.value, 3)} ${digits(maxVio.value, 2)}`;
    });
    expect(ours).toEqual(rows);
  });

  it('are far outside the band of chance, even where the entropy reads 0.9996', () => {
    for (const model of ['mixtral', 'olmoe'] as const)
      for (const of of Object.values(all[model]))
        for (const layer of LAYERS) {
          const { cv, entropy, topQuarter } = loadStats(of, layer);
          for (const m of [cv, topQuarter]) expect(m.value).toBeGreaterThan(m.chance!.high);
          expect(entropy.value).toBeLessThan(entropy.chance!.low);
          expect(cv.chance!.how).toBe('simulated');
        }
  });

  it('would overflow a capacity factor of 1.25 as known', () => {
    const of = (model: Model, domain: string, layer: number): number =>
      overflowOf(all[model][domain]!, layer, 1.25).value;
    expect((100 * of('olmoe', 'github', 1)).toFixed(1)).toBe('37.5');
    expect((100 * of('olmoe', 'wikipedia', 2)).toFixed(1)).toBe('44.5');
    const mixtral = Object.keys(all.mixtral).flatMap((d) => LAYERS.map((l) => of('mixtral', d, l)));
    expect(Math.max(...mixtral)).toBeLessThanOrEqual(0.0105);
  });

  it.each([
    ['mixtral', '26.6', '31.0'],
    ['olmoe', '33.6', '75.7'],
  ] as const)('%s: the busiest quarter takes %s to %s %%', (model, least, most) => {
    const shares = Object.values(all[model]).flatMap((of) =>
      LAYERS.map((l) => 100 * loadStats(of, l).topQuarter.value),
    );
    expect([Math.min(...shares).toFixed(1), Math.max(...shares).toFixed(1)]).toEqual([least, most]);
    const { share, order } = popularityCurve(all[model].github!, 1);
    expect(new Set(order).size).toBe(share.length);
    const quarter = share.slice(0, share.length / 4).reduce((a, b) => a + b, 0);
    expect(quarter).toBeCloseTo(loadStats(all[model].github!, 1).topQuarter.value, 12);
  });

  it.each([
    ['mixtral', 8, [0.03, 0.06], [0.02, 0.1]],
    ['olmoe', 64, [0.17, 0.4], [0.15, 0.42]],
  ] as const)(
    '%s: information between layers of %i experts, in C4 and GitHub and in all texts',
    (model, experts, two, five) => {
      const found = Object.entries(pairs(model)).flatMap(([domain, layers]) =>
        layers.map((table) => ({ domain, ...informationOf(table.flat(), experts, experts) })),
      );
      const range = (of: typeof found): number[] => {
        const bits = of.map((f) => f.bits.value);
        return [Math.min(...bits), Math.max(...bits)].map((b) => Number(b.toFixed(2)));
      };
      expect(range(found.filter(({ domain }) => ['c4', 'github'].includes(domain)))).toEqual(two);
      expect(range(found)).toEqual(five);
      for (const { bits, corrected } of found) {
        expect(bits.value).toBeGreaterThan(bits.chance!.high);
        expect(bits.value - corrected).toBeCloseTo(bits.chance!.mean, 3);
      }
    },
  );

  it('differ between domains, and do not from themselves', () => {
    const { github, wikipedia } = all.olmoe;
    const apart = distanceOf(github!, wikipedia!, 2);
    expect(apart.value).toBeGreaterThan(20 * apart.chance!.high);
    expect(distanceOf(github!, github!, 2).value).toBe(0);
    const { log2Ratio, z, logOddsZ, q } = differenceOf(github!, wikipedia!, 2);
    expect(Math.max(...log2Ratio)).toBeGreaterThan(2);
    log2Ratio.forEach((ratio, e) => expect(Math.sign(z[e]!)).toBe(Math.sign(ratio)));
    expect(logOddsZ.filter((x) => Math.abs(x) > 5).length).toBeGreaterThan(50);
    expect(Math.min(...q)).toBeLessThan(1e-12);
  });
});

describe('chance', () => {
  /** Known from a few runs of uniform choice; ours come from 2000. 8 of 2 at 16 tokens was off: its unused share is (1 - 2/8)^16 = 1.0 %. */
  it.each([
    [8, 2, 16, 0.39, 0.64, 0.01],
    [8, 2, 64, 0.2, 0.33, 0],
    [8, 2, 256, 0.11, 0.18, 0],
    [64, 8, 16, 0.65, 1.78, 0.118],
    [64, 8, 64, 0.33, 0.85, 0],
    [128, 8, 16, 0.96, 3.2, 0.356],
    [128, 8, 64, 0.48, 1.4, 0.016],
  ])('of %i experts, %i a token, %i tokens: CV, MaxVio, unused share', (experts, topK, tokens, cv, maxVio, unused) => {
    const even = Array.from({ length: experts }, () => (tokens * topK) / experts);
    const { cv: c, cv2, maxVio: m, unused: u } = loadStats(countsFrom([even], topK), 0);
    expect(Math.abs(c.chance!.mean - cv)).toBeLessThan(0.1 * cv);
    expect(Math.abs(m.chance!.mean - maxVio)).toBeLessThan(0.1 * maxVio);
    expect(u.chance!.mean).toBeCloseTo(unused, 2);
    // In closed form, within five deviations of a mean of 2000 runs (of CV²: mean √(2 / (E - 1)) each).
    const expected = (experts - topK) / (tokens * topK);
    expect(Math.abs(cv2.chance!.mean / expected - 1)).toBeLessThan(5 * Math.sqrt(2 / (experts - 1) / 2000));
    expect(u.chance!.mean).toBeCloseTo((1 - topK / experts) ** tokens, 2);
  });
});
