/** Colours of data, safe for colour-blind readers. A ramp takes a value scaled to [0, 1]. */

export type Rgb = readonly [red: number, green: number, blue: number];
export type Ramp = (value: number) => Rgb;

/** Through its stops at equal distances, linear in sRGB. */
const through =
  (stops: readonly number[]): Ramp =>
  (value) => {
    const at = Math.min(1, Math.max(0, value)) * (stops.length - 1);
    const low = Math.min(stops.length - 2, Math.floor(at));
    const mix = (shift: number): number => {
      const from = (stops[low]! >> shift) & 255;
      const to = (stops[low + 1]! >> shift) & 255;
      return Math.round(from + (to - from) * (at - low));
    };
    return [mix(16), mix(8), mix(0)];
  };

/** Viridis (van der Walt and Smith 2015) at nine points: even in lightness, readable in grey. */
export const viridis = through([
  0x440154, 0x472d7b, 0x3b528b, 0x2c728e, 0x21918c, 0x28ae80, 0x5ec962, 0xaddc30, 0xfde725,
]);

/** For values on both sides of chance, the middle like the page behind: blue is less, orange is more. */
export const diverging = (dark: boolean): Ramp =>
  through(
    dark ? [0x6db6ff, 0x2b5f94, 0x222624, 0x96571c, 0xffb366] : [0x0b5394, 0x8db9dd, 0xf6f4f0, 0xeeb073, 0xb35806],
  );

/** From the page behind to orange: for values of which most are 0. */
export const heat = (dark: boolean): Ramp => (dark ? heatDark : heatLight);
const upper =
  (ramp: Ramp): Ramp =>
  (value) =>
    ramp(0.5 + Math.min(1, Math.max(0, value)) / 2);
const heatDark = upper(diverging(true));
const heatLight = upper(diverging(false));

/** Okabe and Ito (2008) without black: eight hues that all readers tell apart. */
export const HUES = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#f0e442', '#999999'] as const;

export const hue = (n: number): string => HUES[n % HUES.length]!;

/** The same as a ramp, for kinds 0 to 7 of a domain [0, 7]. */
export const hues: Ramp = (value) => {
  const code = Number.parseInt(hue(Math.round(value * (HUES.length - 1))).slice(1), 16);
  return [code >> 16, (code >> 8) & 255, code & 255];
};

export const css = ([red, green, blue]: Rgb): string => `rgb(${red} ${green} ${blue})`;
