/** Numbers for people. Sizes are decimal, as download sizes are. */

const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB'] as const;

/** `129 MB`, `1.46 GB`: three digits at most. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[unit]!}`;
}

/** `4 s`, `2 min 05 s`, `1 h 10 min`. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(1, Math.ceil(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, '0')} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

export const formatSeconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 9950 ? 2 : 0)} s`;

export const formatRate = (perSecond: number): string => `${perSecond.toFixed(perSecond < 9.95 ? 1 : 0)} tokens/s`;

export const formatCount = (n: number): string => n.toLocaleString('en');

/** `87%`: 100 only for all, 0 only for none. */
export function formatPercent(share: number): string {
  const percent = Math.round(100 * share);
  const shown = share > 0 && percent === 0 ? 1 : share < 1 && percent === 100 ? 99 : percent;
  return `${shown}%`;
}

/** A day, as people say it: `today`, `yesterday`, `3 days ago`, `4 Oct 2026`. */
export function formatDay(day: Date, now = new Date()): string {
  const midnight = (date: Date): number => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
  const days = Math.round((midnight(now) - midnight(day)) / 86_400_000); // rounded: days with a change of clocks
  if (days <= 0) return 'today';
  if (days === 1) return 'yesterday';
  if (days < 14) return `${days} days ago`;
  return day.toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
}

export const plural = (n: number, noun: string): string => `${formatCount(n)} ${noun}${n === 1 ? '' : 's'}`;
