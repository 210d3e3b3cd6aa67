/** Adam (Kingma and Ba 2015) over arrays by name. */

const [MEAN, SPREAD] = [0.9, 0.99];

export type Arrays = Readonly<Record<string, Float32Array<ArrayBuffer>>>;

export class Adam {
  readonly #rate: (name: string) => number;
  readonly #moments = new Map<string, readonly [Float64Array, Float64Array]>();
  /** What the moments still lack after so few steps. */
  #meanLack = 1;
  #spreadLack = 1;

  /** @param rate of the array with this name */
  constructor(rate: (name: string) => number) {
    this.#rate = rate;
  }

  /** Changes `weights` in place; `gradients` has an array of the same name and length for each. */
  step(weights: Arrays, gradients: Arrays): void {
    this.#meanLack *= MEAN;
    this.#spreadLack *= SPREAD;
    for (const [name, w] of Object.entries(weights)) {
      const g = gradients[name]!;
      const [m, v] = this.#momentsOf(name, w.length);
      const rate = this.#rate(name) / (1 - this.#meanLack);
      for (let i = 0; i < w.length; i++) {
        m[i] = MEAN * m[i]! + (1 - MEAN) * g[i]!;
        v[i] = SPREAD * v[i]! + (1 - SPREAD) * g[i]! ** 2;
        const spread = Math.sqrt(v[i]! / (1 - this.#spreadLack));
        w[i] = w[i]! - (rate * m[i]!) / (spread + 1e-8);
      }
    }
  }

  #momentsOf(name: string, length: number): readonly [Float64Array, Float64Array] {
    const known = this.#moments.get(name);
    if (known) return known;
    const made = [new Float64Array(length), new Float64Array(length)] as const;
    this.#moments.set(name, made);
    return made;
  }
}
