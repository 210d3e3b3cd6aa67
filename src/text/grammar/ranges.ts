/** Numbers between bounds, as regular expressions over their digits. */

/** Digits before the point: up to here every integer is a double of its own. */
const MOST = 999_999_999_999_999;
const FRACTION = '\\.\\d{1,17}';
const NOT_ZERO = '\\.\\d{0,16}[1-9]';

export interface Bounds {
  /** Integers, or infinite. */
  readonly min: number;
  readonly max: number;
  /** Whether the bound itself is left out. */
  readonly openMin: boolean;
  readonly openMax: boolean;
}

export const NUMBER = '-?(?:0|[1-9]\\d{0,14})(?:\\.\\d{1,17})?(?:[eE][+-]?\\d{1,2})?';

/** From a to b, of equally many digits. */
function sameLength(a: string, b: string): string {
  if (a === b) return a;
  if (/^0+$/.test(a) && /^9+$/.test(b)) return `\\d{${a.length}}`;
  const [low, high] = [Number(a[0]), Number(b[0])];
  const [lows, highs] = [a.slice(1), b.slice(1)];
  if (low === high) return `${low}${sameLength(lows, highs)}`;
  const from = /^0*$/.test(lows) ? low : low + 1;
  const to = /^9*$/.test(highs) ? high : high - 1;
  const parts = [
    ...(from > low ? [`${low}${sameLength(lows, lows.replace(/./g, '9'))}`] : []),
    ...(from <= to ? [`[${from}-${to}]${lows ? `\\d{${lows.length}}` : ''}`] : []),
    ...(to < high ? [`${high}${sameLength(highs.replace(/./g, '0'), highs)}`] : []),
  ];
  return `(?:${parts.join('|')})`;
}

/** Integers from a to b, 0 <= a; no alternative when there are none. */
function naturals(a: number, b: number): string[] {
  const parts: string[] = [];
  for (let low = a; low <= b;) {
    const high = Math.min(b, Number('9'.repeat(String(low).length)));
    parts.push(sameLength(String(low), String(high)));
    low = high + 1;
  }
  return parts;
}

const joined = (parts: readonly string[]): string | null => (parts.length > 0 ? `(?:${parts.join('|')})` : null);
const clamp = (value: number): number => Math.max(-MOST, Math.min(MOST, value));

/** The least and the largest integer, of at most 15 digits; null: there is none. */
export function integersBetween({ min, max, openMin, openMax }: Bounds): readonly [low: number, high: number] | null {
  const low = clamp(openMin ? min + 1 : min);
  const high = clamp(openMax ? max - 1 : max);
  return min > MOST || max < -MOST || low > high ? null : [low, high];
}

/** @returns null when no integer is between the bounds */
export function integerPattern(bounds: Bounds): string | null {
  const between = integersBetween(bounds);
  if (!between) return null;
  const [low, high] = between;
  const negative = joined(naturals(Math.max(1, -high), -low));
  return joined([...(negative ? [`-${negative}`] : []), ...naturals(Math.max(0, low), high)]);
}

/** Not negative: those with any fraction, then those at the two bounds. */
function magnitudes({ min, max, openMin, openMax }: Bounds): string[] {
  const whole = joined(naturals(openMin ? min + 1 : min, max > MOST ? MOST : max - 1));
  return [
    ...(whole ? [`${whole}(?:${FRACTION})?`] : []),
    ...(openMin && min < max && min <= MOST ? [`${min}${NOT_ZERO}`] : []),
    ...(!openMax && (min < max || (min === max && !openMin)) && max <= MOST ? [`${max}`] : []),
  ];
}

/** @returns null when no number of bounded digits is between the bounds */
export function numberPattern({ min, max, openMin, openMax }: Bounds): string | null {
  const above = { min: Math.max(0, min), openMin: openMin && min >= 0, max, openMax };
  const below = { min: Math.max(0, -max), openMin: max <= 0 && openMax, max: -min, openMax: openMin };
  const negative = min < 0 ? joined(magnitudes(below)) : null;
  return joined([...(max >= 0 ? magnitudes(above) : []), ...(negative ? [`-${negative}`] : [])]);
}
