/** Twin of shaders/layer/philox.wgsl: Philox4x32-10 (Salmon et al. 2011), and what a layer draws with it. */

export type Words4 = readonly [number, number, number, number];

/** What a draw is for: the third word of the counter. */
export const DRAW = { jitter: 0, gumbel: 1, normal: 2, lot: 3, second: 4, random: 5, hash: 6 } as const;

const product = (a: number, b: number): readonly [high: number, low: number] => {
  const whole = BigInt(a) * BigInt(b);
  return [Number(whole >> 32n), Number(whole & 0xffffffffn)];
};

/** @param key two words */
export function philox(counter: Words4, key: readonly [number, number]): Words4 {
  let [a, b, c, d] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = product(0xd2511f53, a);
    const [high1, low1] = product(0xcd9e8d57, c);
    [a, b, c, d] = [(high1 ^ b ^ k0) >>> 0, low1, (high0 ^ d ^ k1) >>> 0, low0];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [a, b, c, d];
}

/** In (0, 1), of 23 bits. */
export const unit = (bits: number): number => ((bits >>> 9) + 0.5) * 2 ** -23;

export interface Draws {
  readonly seed: number;
  readonly step: number;
}

export const draw = ({ seed, step }: Draws, purpose: keyof typeof DRAW, a: number, b: number): Words4 =>
  philox([a, b, DRAW[purpose], step >>> 0], [seed >>> 0, 0]);

export const gumbel = (draws: Draws, t: number, e: number): number =>
  -Math.log(-Math.log(unit(draw(draws, 'gumbel', t, e)[0])));

/** Box and Muller. */
export function normal(draws: Draws, t: number, e: number): number {
  const [first, second] = draw(draws, 'normal', t, e);
  return Math.sqrt(-2 * Math.log(unit(first))) * Math.cos(2 * Math.PI * unit(second));
}
