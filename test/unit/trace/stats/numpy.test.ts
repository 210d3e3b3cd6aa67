/** Every statistic against a second implementation in NumPy (reference.py), on the bundled traces. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as stats from '../../../../src/trace/stats/index.ts';
import type { Trace } from '../../../../src/trace/trace.ts';
import { DATA, loadTrace, TRACES } from '../../../support/traces.ts';

const TOLERANCE = 1e-6;
const NAMES = ['qwen', 'gemma', 'gptoss', 'smolmoe'] as const;
const reference = JSON.parse(readFileSync(join(TRACES, '../trace-stats.json'), 'utf8')) as Record<
  (typeof NAMES)[number],
  Reference
>;

type Plain = number | string | readonly Plain[] | { readonly [key: string]: Plain };
type Figures = Readonly<Record<string, Plain>>;
type Lists = Record<
  | 'load'
  | 'decode'
  | 'balance'
  | 'gate'
  | 'reuse'
  | 'coactivation'
  | 'flow'
  | 'vocabulary'
  | 'capacity'
  | 'paths'
  | 'agreement'
  | 'tokenInformation',
  readonly Figures[]
>;
interface Reference extends Lists {
  readonly popularity: readonly number[];
  readonly repetition: readonly (readonly Figures[])[];
  readonly difference: Figures;
  readonly domains: readonly Figures[];
  readonly atlas: Figures;
}

/** Numbers within 1e-6 of each other, relative to the larger of the two, or to `scale`; all else the same. */
function expectSame(ours: unknown, theirs: Plain, what: string, scale = 0): void {
  if (typeof theirs === 'number') {
    const value = typeof ours === 'boolean' ? Number(ours) : ours;
    if (typeof value !== 'number') throw new Error(`${what}: ${String(ours)} is no number`);
    const size = Math.max(Math.abs(value), Math.abs(theirs), scale, 1e-9);
    if (!(Math.abs(value - theirs) <= TOLERANCE * size)) expect.fail(`${what}: ${value}, NumPy ${theirs}`);
  } else if (typeof theirs === 'string') expect(ours, what).toBe(theirs);
  else if (Array.isArray(theirs)) {
    const list = Array.from(ours as ArrayLike<unknown>);
    expect(list.length, what).toBe(theirs.length);
    theirs.forEach((v: Plain, i) => expectSame(list[i], v, `${what}[${i}]`, scale));
  } else for (const [key, v] of Object.entries(theirs)) expectSame((ours as Figures)[key], v, `${what}.${key}`, scale);
}

/** With the made-up ids and logits of reference.py, and the domains of the prompts. */
function dressed(name: (typeof NAMES)[number]): Trace {
  const trace = loadTrace(name);
  const { layers, experts } = trace.model;
  const tokens = stats.rowsOf(trace);
  const logits = new Float32Array(tokens.length * layers * experts);
  for (let i = 0; i < logits.length; i++) {
    const [t, l, e] = [Math.floor(i / experts / layers), Math.floor(i / experts) % layers, i % experts];
    logits[i] = ((t * 7919 + l * 104729 + e * 1299709) % 1009) / 128 - 4;
  }
  const prompts = JSON.parse(readFileSync(join(DATA, 'smolmoe-prompts.json'), 'utf8')) as { domain: string }[];
  return {
    ...trace,
    tokens: Int32Array.from(tokens, (t) => (t * t + 3 * t) % 97),
    logits,
    scoring: name === 'smolmoe' ? 'sigmoid' : 'softmax',
    chats: name === 'smolmoe' ? prompts.map(({ domain }, c) => ({ name: `chat ${c}`, domain })) : null,
  };
}

const values = (of: object): Figures =>
  Object.fromEntries(Object.entries(of as Record<string, stats.Measured>).map(([k, m]) => [k, m?.value ?? NaN]));

describe.each(NAMES)('%s: as NumPy has it', (name) => {
  const trace = dressed(name);
  const theirs = reference[name];
  const { layers: count, topK } = trace.model;
  const middle = Math.floor(count / 2);
  const layers = [0, middle, count - 1];
  const counts = stats.countsOf(trace);
  const each = (list: readonly Plain[], ours: (layer: number) => unknown, what: string): void =>
    layers.forEach((layer, i) => expectSame(ours(layer), list[i]!, `${what}, layer ${layer}`));

  it('load of every layer, and of the answer alone', () => {
    expect(theirs.load).toHaveLength(count);
    const off = { chance: false };
    theirs.load.forEach((l, layer) => expectSame(values(stats.loadStats(counts, layer, off)), l, `layer ${layer}`));
    const decode = stats.countsOf(trace, { phase: 'decode' });
    each(theirs.decode, (l) => values(stats.loadStats(decode, l, off)), 'decode');
    expectSame(stats.popularityCurve(counts, middle).share, theirs.popularity, 'popularity');
    const { lorenz } = stats.popularityCurve(counts, middle);
    const rising = [...theirs.popularity].reverse();
    expectSame(
      lorenz[10]!,
      rising.slice(0, 10).reduce((a, b) => a + b, 0),
      'lorenz',
    );
  });

  it('balance', () => {
    each(
      theirs.balance,
      (l) => {
        const found = stats.balanceStats(trace, l, {}, { counts });
        expectSame(found.loadCv2.value, theirs.load[l]!.cv2!, 'load CV²');
        expectSame(found.maxVio.value, theirs.load[l]!.maxVio!, 'MaxVio');
        const devices = stats.deviceBalance(counts, l, 4);
        return { ...values(found), sequence: found.sequence!.value, devices: devices.value, tokens: devices.n };
      },
      'balance',
    );
  });

  it('gates', () => {
    each(
      theirs.gate,
      (l) => {
        const { rows, entropy, margin, topShare } = stats.gateOf(trace, l);
        expect(rows).toHaveLength(trace.ids.length / count / topK);
        return {
          entropy: stats.distributionOf(entropy!),
          margin: stats.distributionOf(margin!),
          topShare: stats.distributionOf(topShare!),
        };
      },
      'gate',
    );
  });

  it('repetition, reuse, agreement', () => {
    const plain = (o: stats.Overlap): Figures => ({ ...values(o), n: o.any.n });
    each(theirs.repetition, (l) => stats.repetitionOf(trace, l, {}, [1, 2, 8]).map(plain), 'repetition');
    each(
      theirs.reuse,
      (l) => {
        const { within, ...rest } = stats.reuseOf(trace, l, {}, [1, 4, 16]);
        return { ...rest, within: Object.fromEntries(within.map(({ span, share }) => [span, share.value])) };
      },
      'reuse',
    );
    const half = Math.floor(trace.ids.length / count / topK / 2);
    const parts = [{ to: half }, { from: half }] as const;
    each(
      theirs.agreement,
      (l) => plain(stats.agreementOf({ trace, part: parts[0] }, { trace, part: parts[1] }, l)),
      'agreement',
    );
  });

  it('co-activation and flow', () => {
    each(
      theirs.coactivation,
      (l) => {
        const co = stats.coactivationOf(trace, l);
        const { expert, others } = theirs.coactivation[layers.indexOf(l)] as {
          readonly expert: number;
          readonly others: readonly number[];
        };
        const pairs = others.map((j) => stats.pairOf(co, expert, j));
        const lifts = stats.liftMatrix(co);
        return {
          expert,
          others,
          conditional: pairs.map((p) => p.conditional.value),
          lift: others.map((j) => lifts[expert * co.experts + j]),
          pmi: pairs.map((p) => p.pmi),
          chance: [co.expected[expert], pairs[0]!.chanceLift],
        };
      },
      'co-activation',
    );
    const flows = [
      [layers[0]!, middle, 'all'],
      [middle, layers[2]!, 'all'],
      [0, 1, 'top'],
    ] as const;
    flows.forEach(([a, b, pairs], i) => {
      const { information, corrected, counts: table, experts } = stats.flowOf(trace, a, b, {}, { pairs, runs: 2 });
      const diagonal = Array.from({ length: experts }, (_, e) => table[e * (experts + 1)]!).reduce((x, y) => x + y, 0);
      const found = { bits: information.value, corrected, sum: information.n, trace: diagonal };
      expectSame(found, theirs.flow[i]!, `flow ${a} to ${b}`, 1e-2);
    });
  });

  it('capacity and paths', () => {
    const cases = layers.flatMap((l) => [1, 1.25, 2].map((factor) => ({ l, factor })));
    cases.forEach(({ l, factor }, i) => {
      const found = (order: 'position' | 'gate'): readonly Plain[] => {
        const { dropped } = stats.dropTokens(trace, l, { factor, order });
        const at = Array.from(dropped.keys()).filter((p) => dropped[p]);
        return [at.length, at.reduce((a, b) => a + b, 0), at.slice(0, 8)];
      };
      const { value, n } = stats.overflowOf(counts, l, factor);
      const { capacity, overflow } = stats.dropTokens(trace, l, { factor, order: 'gate' });
      expectSame(overflow, value, 'by counts and by tokens');
      expect(n).toBe(theirs.balance[layers.indexOf(l)]!.tokens);
      const ours = { capacity, overflow, position: found('position'), gate: found('gate') };
      expectSame(ours, theirs.capacity[i]!, `capacity ${factor}, layer ${l}`);
    });
    [
      { from: 0, to: 3 },
      { from: middle, to: middle + 2 },
    ].forEach((window, i) => {
      const { paths, tokens, distinct } = stats.pathsOf(trace, window, {}, 5);
      const of = <T>(f: (path: stats.Path) => T): T[] => paths.map(f);
      const ours = {
        tokens,
        distinct,
        support: of((p) => p.support),
        experts: of((p) => p.experts),
        lift: of((p) => p.lift),
      };
      expectSame(ours, theirs.paths[i]!, `paths from ${window.from}`);
    });
  });

  it('differences, vocabulary, information on tokens', () => {
    const [a, b] = (['prefill', 'decode'] as const).map((phase) => stats.countsOf(trace, { phase }));
    // Differences near 0 are those of numbers near 1.
    expectSame(stats.differenceOf(a!, b!, middle), theirs.difference, 'difference', 1e-2);
    const cases = layers.flatMap((l) => (['input', 'next'] as const).map((of) => ({ l, of })));
    cases.forEach(({ l, of }, i) => {
      const { ids, specialisation } = stats.vocabularyOf(trace, l, { of })!;
      const ours = { ids: ids.length, mean: specialisation.value };
      expectSame(ours, theirs.vocabulary[i]!, `vocabulary ${of}, layer ${l}`);
    });
    each(
      theirs.tokenInformation,
      (l) => {
        const { bits, corrected } = stats.expertInformation(trace, l, 'token', {}, { runs: 2 })!;
        return { bits: bits.value, corrected };
      },
      'information',
    );
  });
});

describe('smolmoe: as NumPy has it', () => {
  const trace = dressed('smolmoe');
  const layers = [0, 14, 28];

  it('domains', () => {
    reference.smolmoe.domains.forEach((theirs, i) => {
      const { names, distance } = stats.domainsOf(trace, layers[i]!)!;
      const { bits, corrected } = stats.expertInformation(trace, layers[i]!, 'domain', {}, { runs: 2 })!;
      const ours = {
        names,
        distance: distance.map((row) => row.map((d) => d.value)),
        information: { bits: bits.value, corrected },
      };
      expectSame(ours, theirs, `layer ${layers[i]}`);
    });
  });

  it('atlas', () => {
    const { x, y, explained, groups } = stats.atlasOf(trace);
    expect(groups).toBe(20);
    const some = (of: Float64Array): Float64Array => of.filter((_, i) => i % 7 === 0);
    expectSame({ x: some(x), y: some(y), explained }, reference.smolmoe.atlas, 'atlas', 1);
  });
});
