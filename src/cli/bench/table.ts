/** A report for reading, and a sweep as a table or as comma-separated values. */
import { formatBytes } from '../common.ts';
import type { BesideChance } from './balance.ts';
import type { KernelTime } from '../../gpu/timer.ts';
import { sum } from '../../util/math.ts';
import type { BenchReport } from './measure.ts';
import type { BenchRow } from './sweep.ts';

const beside = ({ value, chance }: BesideChance): string =>
  `${value.toFixed(2)}${chance === null ? '' : ` (by chance ${chance.toFixed(2)})`}`;

export function formatFlops(flops: number): string {
  const [unit, size] = (
    [
      ['T', 1e12],
      ['G', 1e9],
    ] as const
  ).find(([, n]) => flops >= n) ?? ['M', 1e6];
  return `${(flops / size).toPrecision(3)} ${unit}flop`;
}

/** `200 GB/s and 10 us a dispatch` */
const rates = ({ floorFor: { bytesPerSecond, launchSeconds } }: BenchReport['cost']): string =>
  `${formatBytes(bytesPerSecond)}/s and ${(1e6 * launchSeconds).toPrecision(2)} us a dispatch`;

function costLines({ cost }: BenchReport): string[] {
  const { token: t, prompt: p } = cost;
  return [
    `cost model     a token: ${formatBytes(t.weightBytes)} of weights, ${formatBytes(t.kvBytes)} of keys and values, ${formatBytes(t.activationBytes)} of activations, ${formatFlops(t.usefulFlops)} and ${t.paddingFactor.toFixed(2)} times that with padding`,
    `               the prompt: ${formatBytes(p.weightBytes)}, ${formatBytes(p.kvBytes)}, ${formatBytes(p.activationBytes)}, ${formatFlops(p.usefulFlops)}, ${p.paddingFactor.toFixed(2)} times`,
    `               at ${rates(cost)}: a token at least ${t.floorMs.toPrecision(3)} ms, the prompt ${p.floorMs.toPrecision(3)} ms`,
  ];
}

function kernelLines({ kernels }: BenchReport): string[] {
  if (!kernels) return [];
  const total = sum(kernels.map((k) => k.milliseconds));
  const line = ({ shader, dispatches, milliseconds: ms }: KernelTime): string =>
    `               ${shader.padEnd(28)} ${dispatches} dispatches, ${ms.toFixed(2)} ms, ${((100 * ms) / (total || 1)).toFixed(1)} %`;
  return [`kernels        ${total.toFixed(2)} ms by the GPU's clock, of some decoded tokens`, ...kernels.map(line)];
}

function startupLines({ startup: s, prefill }: BenchReport): string[] {
  if (!s) return [];
  const whole = (s.loadMs + s.ttftMs).toFixed(0);
  return [
    `start          ${whole} ms from the last weight to the first token of all, ${s.loadMs.toFixed(0)} of them compiling: ${s.ratio.toFixed(2)} times a later prompt of ${prefill.tokens} tokens`,
  ];
}

export function reportText(r: BenchReport): string {
  const { prefill: p, decode: d, adapter: a, streaming: s, balance: b } = r;
  return [
    `adapter        ${a.description || `${a.vendor} ${a.architecture}`}${a.isFallback ? ' (software: says nothing about GPUs)' : ''}`,
    `kernels        up to ${r.tuning.fewUpTo} tokens as a few, tiles of ${r.tuning.tileRows} rows`,
    `first token    ${r.ttftMs.toFixed(0)} ms after a prompt of ${p.tokens} tokens; the whole request ${r.endToEndMs.toFixed(0)} ms`,
    ...startupLines(r),
    `prefill        ${p.tokensPerSecond.toPrecision(3)} tokens/s, ${p.dispatches} dispatches, ${p.submits} submits, ${p.readbacks} readbacks`,
    `decode         ${d.tokensPerSecond.toPrecision(3)} tokens/s, ${d.itlMs.median.toFixed(1)} ms a token (p95 ${d.itlMs.p95.toFixed(1)})`,
    `throughput     ${r.throughput.tokensPerSecond.toPrecision(3)} tokens/s, ${r.throughput.samplesPerSecond.toPrecision(3)} samples/s; one sequence at a time`,
    `a token        ${d.dispatchesPerToken} dispatches over ${r.layers} layers, ${d.submitsPerToken} submit, ${d.readbacksPerToken} readback of ${formatBytes(d.readbackBytesPerToken)}, ${formatBytes(d.uploadBytesPerToken)} uploaded`,
    ...costLines(r),
    ...kernelLines(r),
    ...(b
      ? [
          `balance        of ${b.tokens} prompt tokens: cv ${beside(b.cv)}, maxVio ${beside(b.maxVio)}, entropy ${beside(b.entropy)}, unused ${beside(b.unused)}`,
        ]
      : []),
    ...(s
      ? [
          `experts        ${s.slots} of ${s.experts} on the GPU, ${s.mode}: ${(100 * s.hitRate).toFixed(1)} % hits, ${formatBytes(s.bytesPerToken)} fetched and ${s.stallMsPerToken.toFixed(1)} ms waited a token, ${s.replaysPerToken.toFixed(2)} passes repeated`,
        ]
      : []),
    `GPU memory     weights ${formatBytes(r.gpuBytes.weights)}, experts ${formatBytes(r.gpuBytes.experts)}, KV ${formatBytes(r.gpuBytes.kv)}, activations ${formatBytes(r.gpuBytes.activations)}`,
    '',
  ].join('\n');
}

export interface Column {
  readonly name: string;
  readonly of: (row: BenchRow) => string | number | null;
}

const memory = ({ gpuBytes }: BenchReport): number => Object.values(gpuBytes).reduce((a, b) => a + b, 0);

/** What a sweep varies, then what it measures. */
export const SETTING_COLUMNS: readonly Column[] = [
  { name: 'model', of: (r) => r.model },
  { name: 'experts', of: (r) => r.experts },
  { name: 'top_k', of: (r) => r.topK },
  { name: 'width', of: (r) => r.width },
  { name: 'weights', of: (r) => r.weights },
  { name: 'residency', of: (r) => r.residency },
  { name: 'batch', of: (r) => r.report.batch },
  { name: 'prompt_tokens', of: (r) => r.promptTokens },
  { name: 'decode_tokens', of: (r) => r.decodeTokens },
];

export const FIGURE_COLUMNS: readonly Column[] = [
  { name: 'ttft_ms', of: (r) => r.report.ttftMs },
  { name: 'start_ratio', of: (r) => r.report.startup?.ratio ?? null },
  { name: 'itl_median_ms', of: (r) => r.report.decode.itlMs.median },
  { name: 'itl_p95_ms', of: (r) => r.report.decode.itlMs.p95 },
  { name: 'end_to_end_ms', of: (r) => r.report.endToEndMs },
  { name: 'tokens_per_s', of: (r) => r.report.throughput.tokensPerSecond },
  { name: 'samples_per_s', of: (r) => r.report.throughput.samplesPerSecond },
  { name: 'prefill_tokens_per_s', of: (r) => r.report.prefill.tokensPerSecond },
  { name: 'decode_tokens_per_s', of: (r) => r.report.decode.tokensPerSecond },
  { name: 'balance_cv', of: (r) => r.report.balance?.cv.value ?? null },
  { name: 'balance_cv_by_chance', of: (r) => r.report.balance?.cv.chance ?? null },
  { name: 'hit_rate', of: (r) => r.report.streaming?.hitRate ?? null },
  { name: 'gpu_bytes', of: (r) => memory(r.report) },
  { name: 'dispatches_per_token', of: (r) => r.report.decode.dispatchesPerToken },
  { name: 'weight_bytes_per_token', of: (r) => r.report.cost.token.weightBytes },
  { name: 'kv_bytes_per_token', of: (r) => r.report.cost.token.kvBytes },
  { name: 'activation_bytes_per_token', of: (r) => r.report.cost.token.activationBytes },
  { name: 'padding_factor_prompt', of: (r) => r.report.cost.prompt.paddingFactor },
  { name: 'floor_ms_per_token', of: (r) => r.report.cost.token.floorMs },
  { name: 'floor_ms_prompt', of: (r) => r.report.cost.prompt.floorMs },
];

const COLUMNS = [...SETTING_COLUMNS, ...FIGURE_COLUMNS];

/** Quoted where it must be: RFC 4180. */
const csvField = (value: string | number | null): string => {
  const text = value === null ? '' : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

export const csv = (rows: readonly BenchRow[]): string =>
  [COLUMNS.map((c) => c.name), ...rows.map((row) => COLUMNS.map((c) => csvField(c.of(row))))]
    .map((fields) => `${fields.join(',')}\r\n`)
    .join('');

/** For eyes: three digits, empty where there is nothing. */
export const shown = (value: string | number | null): string =>
  typeof value === 'number' ? String(Number.isInteger(value) ? value : Number(value.toPrecision(3))) : (value ?? '');

const SHORT = [
  'ttft_ms',
  'itl_median_ms',
  'itl_p95_ms',
  'end_to_end_ms',
  'tokens_per_s',
  'weight_bytes_per_token',
  'gpu_bytes',
];

/** A row a line, aligned. */
export function tableText(rows: readonly BenchRow[]): string {
  const columns = [...SETTING_COLUMNS.slice(1), ...FIGURE_COLUMNS.filter((c) => SHORT.includes(c.name))];
  const cells = [columns.map((c) => c.name), ...rows.map((row) => columns.map((c) => shown(c.of(row))))];
  const widths = columns.map((_, i) => Math.max(...cells.map((line) => line[i]!.length)));
  return cells.map((line) => `${line.map((cell, i) => cell.padStart(widths[i]!)).join('  ')}\n`).join('');
}
