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

export const plural = (n: number, noun: string): string => `${formatCount(n)} ${noun}${n === 1 ? '' : 's'}`;
