/** What the expert store does, in words. */
import type { ExpertStats } from '../../src/index.ts';
import { formatBytes, formatCount, formatPercent } from '../format.ts';

/** Whether there is anything to tell: a model that is on the card as a whole, exactly, needs no strip. */
export const isWorthShowing = (stats: ExpertStats): boolean =>
  stats.mode !== 'resident' ||
  stats.slots < stats.experts ||
  stats.resident < stats.experts ||
  downloadText(stats) !== null ||
  stats.approximations.length > 0;

export const streamedBytes = ({ bytes }: ExpertStats): number => bytes.memory + bytes.disk + bytes.network;

export const hitRateText = ({ recentHitRate }: ExpertStats): string =>
  recentHitRate === null ? 'no word yet' : `${formatPercent(recentHitRate)} hits`;

/** The rest of the strip, most telling first. */
export function stripFacts(stats: ExpertStats, stallShare: number | null): string[] {
  return [
    `${formatCount(Math.min(stats.slots, stats.experts))} of ${formatCount(stats.experts)} experts`,
    stats.mode,
    `${formatBytes(streamedBytes(stats))} streamed`,
    ...(stallShare === null ? [] : [`${formatPercent(stallShare)} waiting`]),
  ];
}

const WHERE: Readonly<Record<ExpertStats['storage']['kind'], string>> = {
  opfs: ' to the disk',
  'opfs-async': ' to the disk',
  path: ' to the disk',
  memory: ' into this tab’s memory',
  none: '',
};

/** Every expert is on the card: what goes on behind the chat fetches nothing, it keeps what is there for the next time a slot is emptied. */
const isCopying = ({ resident, experts }: ExpertStats): boolean => resident === experts;

const leftText = ({ download }: ExpertStats): string | null =>
  download && download.loadedBytes < download.totalBytes
    ? `${formatBytes(download.loadedBytes)} of ${formatBytes(download.totalBytes)}`
    : null;

const copyingText = ({ storage }: ExpertStats): string => `Copying experts from the card${WHERE[storage.kind]}`;

/** @returns null when all are there, or none is on its way */
export function downloadText(stats: ExpertStats): string | null {
  const left = leftText(stats);
  if (left === null) return null;
  return `${isCopying(stats) ? copyingText(stats) : 'Still downloading experts'}: ${left}`;
}

/** The same as a fact named “Download”. @returns null when there was none */
export function downloadFact(stats: ExpertStats): string | null {
  const left = leftText(stats);
  if (left === null) return stats.download ? 'complete' : null;
  return isCopying(stats) ? `complete. ${copyingText(stats)}: ${left}` : left;
}

/** @returns null for the exact model */
export const approximateText = ({ approximations }: ExpertStats): string | null =>
  approximations.length ? `approximate: ${approximations.join(', ')}` : null;

export const STORAGE: Readonly<Record<ExpertStats['storage']['kind'], string>> = {
  opfs: 'on disk, in this browser’s storage',
  'opfs-async': 'on disk, in this browser’s storage, by its slower interface',
  path: 'on disk',
  memory: 'in this tab’s memory only',
  none: 'nowhere: experts are fetched again when needed',
};
