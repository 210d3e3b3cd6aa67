/** `webmoe trace replay`: what recorded routing would have cost with other policies, slots and links. */
import { readFile, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { InvalidRequest } from '../errors.ts';
import { POLICY_NAMES } from '../policy/index.ts';
import { openTrace } from '../trace/open-trace.ts';
import type { Pooling } from '../trace/pool.ts';
import { replayPrefetch, type PrefetchResult } from '../trace/prefetch-replay.ts';
import { replay, type ReplayResult } from '../trace/replay.ts';
import type { Trace } from '../trace/trace.ts';
import { popularityOf, visitsOf, type Visits } from '../trace/visits.ts';
import type { OptionSpec, Options } from './args.ts';
import type { Output } from './common.ts';
import { plot } from './trace-plot.ts';

export const TRACE_REPLAY_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  policy: { type: 'text', value: 'A,B', help: `of ${POLICY_NAMES.join(', ')} and belady; default all` },
  capacity: { type: 'text', value: 'N,N', help: 'percent of all experts that slots hold (default 5,10,20,33,50,75)' },
  pool: { type: 'text', value: 'P', help: 'slots shared by all layers (global, default), by one (layer), or by N' },
  warm: { type: 'text', value: 'FILE', help: 'a trace whose popularity the policies start from' },
  link: { type: 'text', value: 'X,X', help: 'replay prefetch, too, on links of X times the demand' },
  recall: { type: 'number', value: 'R', help: 'share of experts that prefetch guesses right (default 0.85)', min: 0 },
  json: { type: 'flag', help: 'print JSON' },
  plot: { type: 'text', value: 'FILE.svg', help: 'also draw hit rate by capacity' },
};

const GOVERNORS = ['never', 'always', 'governed'] as const;

interface Row extends ReplayResult {
  readonly percent: number;
  readonly slots: number;
  /** Of Belady's decode hits at the same capacity in one pool. */
  readonly ofBelady: number;
}

interface PrefetchRow extends PrefetchResult {
  readonly policy: string;
  readonly percent: number;
  readonly link: number;
  readonly prefetch: (typeof GOVERNORS)[number];
}

interface Report {
  readonly file: string;
  readonly model: Trace['model'];
  readonly decodeTokens: number;
  /** Share of all experts that one token uses: with fewer slots LRU hits nothing. */
  readonly cyclePercent: number;
  readonly rows: readonly Row[];
  readonly prefetch: readonly PrefetchRow[];
}

interface Request {
  readonly policies: readonly string[];
  readonly percents: readonly number[];
  readonly pooling: Pooling;
  readonly warm: Visits | null;
  readonly links: readonly number[];
  readonly recall: number;
}

function numbers(options: Options, name: string, fallback: string): number[] {
  const text = options.text(name) ?? fallback;
  const found = text.split(',').filter(Boolean).map(Number);
  if (!found.every((n) => n > 0))
    throw new InvalidRequest(`--${name} must be numbers above 0, as in 5,10,20; got ${text}`, { option: name });
  return found;
}

function readPooling(text = 'global'): Pooling {
  if (text === 'global' || text === 'layer') return text;
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new InvalidRequest(`--pool must be global, layer or a number of layers, got ${text}`, { option: 'pool' });
}

/** Of any kind that the views open, too. */
async function readTraceFile(file: string): Promise<Trace> {
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new InvalidRequest(`cannot read ${file}`, { file }, { cause });
  });
  return openTrace(bytes, basename(file));
}

async function readRequest(options: Options): Promise<Request> {
  const known = [...POLICY_NAMES, 'belady'];
  const policies = options.text('policy')?.split(',') ?? known;
  const unknown = policies.find((p) => !known.includes(p as (typeof known)[number]));
  if (unknown !== undefined)
    throw new InvalidRequest(`there is no policy ${unknown}; there are ${known.join(', ')}`, { policy: unknown });
  const percents = numbers(options, 'capacity', '5,10,20,33,50,75').sort((a, b) => a - b);
  if (percents.some((p) => p > 100)) throw new InvalidRequest('--capacity is in percent of all experts', {});
  const warm = options.text('warm');
  return {
    policies,
    percents,
    pooling: readPooling(options.text('pool')),
    warm: warm === undefined ? null : visitsOf(await readTraceFile(warm)),
    links: options.text('link') === undefined ? [] : numbers(options, 'link', ''),
    recall: options.number('recall') ?? 0.85,
  };
}

function report(file: string, trace: Trace, { policies, percents, pooling, warm, links, recall }: Request): Report {
  const visits = visitsOf(trace);
  const { layers, experts, topK } = trace.model;
  if (warm && (warm.model.layers !== layers || warm.model.experts !== experts))
    throw new InvalidRequest(`--warm is of ${warm.model.name}, ${file} of ${trace.model.name}`, { file });
  const popularity = warm && popularityOf(warm);
  const own = popularityOf(visits);
  const rows: Row[] = [];
  const prefetch: PrefetchRow[] = [];
  for (const percent of percents) {
    const slots = Math.max(1, Math.round((layers * experts * percent) / 100));
    const capacity = { slots };
    const best = replay(visits, { policy: 'belady', capacity }).decodeHits;
    for (const policy of policies) {
      // A profile is all that static-hot has; without one it gets the best possible, this trace's own.
      const start = popularity ?? (policy === 'static-hot' ? own : null);
      const common = { policy, capacity, pooling, ...(start ? { warm: start } : {}) };
      const result = replay(visits, common);
      rows.push({ ...result, percent, slots, ofBelady: best ? result.decodeHits / best : 1 });
      if (policy === 'belady') continue;
      for (const link of links)
        for (const how of GOVERNORS) {
          const governor = how === 'governed' ? {} : how;
          prefetch.push({
            policy,
            percent,
            link,
            prefetch: how,
            ...replayPrefetch(visits, { ...common, link, guess: { recall }, governor }),
          });
        }
    }
  }
  return {
    file: basename(file),
    model: trace.model,
    decodeTokens: visits.decodeTokens,
    cyclePercent: (100 * topK) / experts,
    rows,
    prefetch,
  };
}

const percent = (share: number): string => (100 * share).toFixed(1);

/** Traces of other tools do not say how large an expert is: one byte stands for it. */
const hasSizes = ({ expertBytes }: Trace['model']): boolean => expertBytes.some((bytes) => bytes > 1);

function columns(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const widths = head.map((h, c) => Math.max(h.length, ...lines.map((l) => l[c]!.length)));
  return [head, ...lines]
    .map((l) => l.map((cell, c) => (c === 0 ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!))).join('  '))
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}

function table(r: Report, request: Request): string {
  const { name, layers, experts, topK } = r.model;
  const title = `${r.file}: ${name}, ${layers} layers of ${experts} experts, ${topK} a token (${r.cyclePercent.toFixed(1)} % of all), ${r.decodeTokens} decoded tokens\n`;
  const hits = columns(
    [
      'policy',
      'slots %',
      'slots',
      'hit %',
      'of Belady %',
      'full layers %',
      'loads/token',
      'MB/token',
      're-read %',
      'first use %',
    ],
    r.rows.map((x) => [
      x.policy,
      String(x.percent),
      String(x.slots),
      percent(x.decodeHitRate),
      percent(x.ofBelady),
      percent(x.fullLayerRate),
      x.decodeLoadsPerToken.toFixed(1),
      hasSizes(r.model) ? (x.decodeBytesPerToken / 1e6).toPrecision(3) : '?',
      percent(x.rereadRatio),
      percent(x.compulsoryShare),
    ]),
  );
  if (r.prefetch.length === 0) return `${title}${hits}`;
  const guesses = columns(
    [
      'policy',
      'slots %',
      'link',
      'prefetch',
      'stalls/token',
      'stall time',
      'loads/token',
      'guessed',
      'useful %',
      'displaced',
      'busy %',
    ],
    r.prefetch.map((x) => [
      x.policy,
      String(x.percent),
      `${x.link}x`,
      x.prefetch,
      x.stalls.toFixed(1),
      x.stallTime.toFixed(1),
      x.loads.toFixed(1),
      x.guessedLoads.toFixed(1),
      percent(x.usefulRatio),
      x.displacedDemand.toFixed(1),
      percent(x.busyShare),
    ]),
  );
  return `${title}${hits}prefetch of the next layer at recall ${request.recall}, simulated; stall time in layers of computing, a token has ${layers}\n${guesses}`;
}

const drawing = (reports: readonly Report[]): string =>
  plot(
    reports.map((r) => ({
      title: r.model.name,
      series: [...new Set(r.rows.map((row) => row.policy))].map((name) => ({
        name,
        points: r.rows
          .filter((row) => row.policy === name)
          .map((row) => [row.percent, 100 * row.decodeHitRate] as const),
      })),
    })),
  );

export async function traceReplayCommand(options: Options, out: Output): Promise<void> {
  const files = options.positionals;
  if (files.length === 0) throw new InvalidRequest('name at least one trace', {});
  const request = await readRequest(options);
  const reports: Report[] = [];
  for (const file of files) reports.push(report(file, await readTraceFile(file), request));
  const target = options.text('plot');
  if (target !== undefined)
    await writeFile(target, drawing(reports)).catch((cause: unknown) => {
      throw new InvalidRequest(`cannot write ${target}`, { file: target }, { cause });
    });
  out.write(
    options.flag('json') ? `${JSON.stringify(reports, null, 2)}\n` : reports.map((r) => table(r, request)).join('\n'),
  );
}
