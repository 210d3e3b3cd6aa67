// What the bench measured, as Markdown: speeds as ratios with their spread, then what each engine asked of network and GPU.

const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

const digits = (n) => (n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2));
const count = (n = 0) => (Number.isInteger(n) ? String(n) : n.toFixed(1));
const spread = (numbers, unit = '') =>
  `${digits(median(numbers))}${unit} (${digits(Math.min(...numbers))} to ${digits(Math.max(...numbers))})`;
const milliseconds = (ms) => (Number.isFinite(ms) ? `${digits(ms)} ms` : '-');
const mega = (bytes) => `${digits(bytes / 1e6)} MB`;
const row = (cells) => `| ${cells.join(' | ')} |`;
const table = (head, rows) => [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n');

/** Of one timing, bigger is better. */
const MEASURES = [
  ['prefill', 'clock', ({ length, prompt }) => (1000 * length) / prompt.ms],
  ['decode', 'clock', ({ token }) => 1000 / token.ms],
  ['prefill', 'CPU', ({ length, prompt }) => (1000 * length) / prompt.cpuMs],
  ['decode', 'CPU', ({ token }) => 1000 / token.cpuMs],
];

const at = (engine, length) => engine.timings.filter((timing) => timing.length === length);

function speeds({ engines, prompts }) {
  const [ours, ...others] = engines;
  return prompts.flatMap((length) =>
    MEASURES.map(([phase, second, speed]) => {
      const own = at(ours, length).map(speed);
      const theirs = others.flatMap((engine) => {
        const numbers = at(engine, length).map(speed);
        return [spread(numbers), spread(numbers.map((n, i) => own[i] / n))];
      });
      return [length, `${phase}, tokens a second of ${second}`, spread(own), ...theirs];
    }),
  );
}

/** A length that only warmed the engine up has no warm time, one that did not has no cold one. */
const firstTokens = ({ engines, prompts }) =>
  engines.flatMap((engine) =>
    [...new Set([...engine.cold.map(({ length }) => length), ...prompts])].map((length) => {
      const { ms, calls } = engine.cold.find((cold) => cold.length === length) ?? {};
      const warm = at(engine, length).map(({ prompt }) => prompt.ms);
      const made = ['dispatches', 'submits', 'readbacks', 'pipelines'].map((k) => (calls ? count(calls[k]) : '-'));
      return [engine.name, length, milliseconds(ms), milliseconds(median(warm)), ...made];
    }),
  );

const costs = ({ engines }) =>
  engines.map(({ name, load, sent, token, peakBytes }) => [
    name,
    `${digits(load.ms / 1000)} s`,
    mega(sent.code),
    mega(sent.model),
    mega(peakBytes),
    ...['dispatches', 'submits', 'readbacks', 'passes', 'writes', 'bindGroups', 'buffers'].map((k) => count(token[k])),
  ]);

/** @param result what run.mjs writes with --json */
export function report(result) {
  const { engines, adapter, browser, weights, tokens } = result;
  const [{ name: first }, ...rest] = engines;
  const others = rest.flatMap(({ name }) => [name, `${first} / ${name}`]);
  const rounds = at(engines[0], result.prompts[0]).length;
  return [
    `Chromium ${browser}, ${adapter}; ${rounds} rounds, ${tokens - 1} tokens after the first; webmoe's weights: ${weights}. Median (least to most).`,
    table(['prompt', 'speed', first, ...others], speeds(result)),
    table(
      ['engine', 'prompt', 'first token, cold', 'warm', 'dispatches', 'submits', 'readbacks', 'pipelines made, cold'],
      firstTokens(result),
    ),
    table(
      [
        ...['engine', 'load', 'code', 'weights', 'GPU peak', 'a token: dispatches', 'submits', 'readbacks'],
        ...['passes', 'writes', 'bind groups', 'buffers'],
      ],
      costs(result),
    ),
  ].join('\n\n');
}
