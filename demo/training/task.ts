/** What is learned: the plane in four regions, a rule of its own in each. */
import type { Regions } from '../../src/viz/training.ts';

/** Waves beside the coordinates: without them a router that knows nothing would split the plane along lines, and look as if it knew something. */
const WAVES = 3;
/** D: 1, u, v, and two values a wave. */
export const FEATURES = 3 + 2 * WAVES;
/** Values of the output that are asked for. */
export const OUTPUTS = 3;
/** The plane is looked at in so many squares a side. */
export const SIDE = 24;

/** Uniform in [0, 1), seeded (mulberry32). */
export function generator(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Batch {
  /** [T, FEATURES] */
  readonly x: Float32Array<ArrayBuffer>;
  /** [T, OUTPUTS] */
  readonly y: Float32Array;
}

export interface Task {
  readonly regions: Regions;
  /** The centres of the plane's squares. */
  readonly plane: Batch;
  /** Points drawn evenly from the plane. */
  batch(points: number, random: () => number): Batch;
}

type Point = readonly [u: number, v: number];

export function makeTask(seed: number): Task {
  const random = generator(seed);
  const around = (): number => 2 * random() - 1;
  // One in each quarter, so that no region is tiny.
  const sites = [0, 1, 2, 3].map((i): Point => [(i % 2) - 0.5 + 0.35 * around(), 0.5 - (i >> 1) + 0.35 * around()]);
  const waves = Array.from({ length: WAVES }, () => [3 * around(), 3 * around(), Math.PI * around()] as const);
  const rules = sites.map(() =>
    Float64Array.from({ length: OUTPUTS * FEATURES }, () => around() * Math.sqrt(6 / FEATURES)),
  );
  const features = ([u, v]: Point): number[] => [
    1,
    u,
    v,
    ...waves.flatMap(([a, b, shift]) => [Math.cos(a * u + b * v + shift), Math.sin(a * u + b * v + shift)]),
  ];
  const regionOf = ([u, v]: Point): number => {
    const far = sites.map(([a, b]) => (a - u) ** 2 + (b - v) ** 2);
    return far.indexOf(Math.min(...far));
  };
  const asked = (points: readonly Point[]): Batch => {
    const x = new Float32Array(points.length * FEATURES);
    const y = new Float32Array(points.length * OUTPUTS);
    points.forEach((point, t) => {
      const known = features(point);
      const rule = rules[regionOf(point)]!;
      x.set(known, t * FEATURES);
      for (let j = 0; j < OUTPUTS; j++)
        y[t * OUTPUTS + j] = known.reduce((sum, value, i) => sum + value * rule[j * FEATURES + i]!, 0);
    });
    return { x, y };
  };
  const centre = (i: number): number => (2 * i + 1) / SIDE - 1;
  const plane = Array.from({ length: SIDE * SIDE }, (_, i): Point => [centre(i % SIDE), -centre(Math.floor(i / SIDE))]);
  return {
    regions: { side: SIDE, count: sites.length, labels: Uint8Array.from(plane, regionOf) },
    plane: asked(plane),
    batch: (points, draw) => asked(Array.from({ length: points }, () => [2 * draw() - 1, 2 * draw() - 1])),
  };
}
