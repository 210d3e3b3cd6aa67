/**
 * Rotary position embedding from config.json, in both published forms:
 *   v4: `rope_theta`, `partial_rotary_factor` and `rope_scaling` at the top, the scaling's kind in `type` or `rope_type`;
 *   v5: `rope_parameters` with all of them inside, flat or once per layer type.
 * Everything is computed in doubles.
 */
import { InvalidCheckpoint, UnsupportedModel } from '../errors.ts';
import type { LayerType } from './axes.ts';
import { readLongRope } from './longrope.ts';
import type { RopeConfig } from './model-config.ts';
import type { ConfigReader } from './read.ts';

/** Nothing turns: attention without positions. */
export const NO_ROPE: RopeConfig = { inverseFrequencies: [], amplitude: 1, interleaved: false };

export interface RopeRequest {
  /** Values of one head that may rotate. */
  readonly headSize: number;
  readonly maxContext: number;
  /** For configs that do not say. */
  readonly theta: number;
  /** The share of a head that rotates, for configs that do not say; families without it always rotate all. */
  readonly partial?: number;
  readonly interleaved?: boolean;
}

export interface Rope {
  readonly rope: RopeConfig;
  /** What latent attention multiplies its softmax scale by: YaRN's mscale squared; 1 without. */
  readonly latentScale: number;
}

/** theta^(-2j/dims) and what scaling needs to change it. */
interface Plain {
  readonly theta: number;
  readonly dims: number;
  readonly maxContext: number;
  /** The context of pretraining, where the top of the file says it. */
  readonly original: number | undefined;
  readonly frequencies: readonly number[];
}

interface Scaled {
  readonly frequencies: readonly number[];
  readonly amplitude: number;
  readonly latentScale: number;
  readonly long?: RopeConfig['long'];
}

type Scaling = (scaling: ConfigReader, plain: Plain) => Scaled;

const unscaled = (frequencies: readonly number[]): Scaled => ({ frequencies, amplitude: 1, latentScale: 1 });

const optional = (c: ConfigReader, key: string, min: number): number | undefined =>
  c.raw(key) === undefined ? undefined : c.number(key, { min });

/** The context of pretraining, which Phi has beside `max_position_embeddings`, others in the scaling. */
function originalContext(c: ConfigReader, { original }: Plain, fallback?: number): number {
  const key = 'original_max_position_embeddings';
  const otherwise = original ?? fallback;
  const found = c.integer(key, otherwise === undefined ? {} : { fallback: otherwise });
  if (original !== undefined && found !== original) c.fail(key, `the same as at the top of the file (${original})`);
  return found;
}

const linear: Scaling = (c, { frequencies }) => {
  const factor = c.number('factor', { min: 1 });
  return unscaled(frequencies.map((f) => f / factor));
};

/** YaRN's attention temperature: 0.1 m ln(s) + 1. */
const temperature = (factor: number, mscale: number): number => (factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1);

const yarn: Scaling = (c, plain) => {
  const { theta, dims, maxContext, frequencies } = plain;
  const original = originalContext(c, plain, maxContext);
  const factor = c.number('factor', { min: 1, fallback: maxContext / original });
  const betaFast = c.number('beta_fast', { min: 1e-6, fallback: 32 });
  const betaSlow = c.number('beta_slow', { min: 1e-6, fallback: 1 });
  const truncate = c.boolean('truncate', true);
  const mscale = c.number('mscale', { min: 0, fallback: 0 });
  const mscaleAll = c.number('mscale_all_dim', { min: 0, fallback: 0 });

  const correction = (rotations: number): number =>
    (dims * Math.log(original / (2 * Math.PI * rotations))) / (2 * Math.log(theta));
  const low = Math.max(0, truncate ? Math.floor(correction(betaFast)) : correction(betaFast));
  let high = Math.min(dims - 1, truncate ? Math.ceil(correction(betaSlow)) : correction(betaSlow));
  if (high === low) high += 0.001;
  const byDefault =
    mscale && mscaleAll ? temperature(factor, mscale) / temperature(factor, mscaleAll) : temperature(factor, 1);
  return {
    frequencies: frequencies.map((f, j) => {
      const ramp = Math.min(1, Math.max(0, (j - low) / (high - low)));
      return (f / factor) * ramp + f * (1 - ramp);
    }),
    amplitude: optional(c, 'attention_factor', 0) ?? byDefault,
    latentScale: mscaleAll ? temperature(factor, mscaleAll) ** 2 : 1,
  };
};

const llama3: Scaling = (c, plain) => {
  const { frequencies } = plain;
  const factor = c.number('factor', { min: 1 });
  const lowFactor = c.number('low_freq_factor', { min: 1e-6 });
  const highFactor = c.number('high_freq_factor', { min: 1e-6 });
  const original = originalContext(c, plain);
  if (highFactor <= lowFactor) c.fail('high_freq_factor', `more than low_freq_factor (${lowFactor})`);
  return unscaled(
    frequencies.map((f) => {
      const wavelengths = (original * f) / (2 * Math.PI);
      const keep = Math.min(1, Math.max(0, (wavelengths - lowFactor) / (highFactor - lowFactor)));
      return keep * f + ((1 - keep) * f) / factor;
    }),
  );
};

/**
 * Hunyuan's: theta grows once, by `alpha`. Without alpha it grows with a conversation beyond `max_position_embeddings`, and no context here is longer
 * than that: the frequencies stay as they are.
 */
const dynamic: Scaling = (c, { theta, dims, frequencies }) => {
  const alpha = optional(c, 'alpha', 1e-6);
  if (alpha === undefined) {
    c.number('factor', { min: 1 });
    return unscaled(frequencies);
  }
  const grown = theta * alpha ** (dims / (dims - 2));
  // Of the files that have alpha, transformers reads none of these.
  c.irrelevant('factor', 'beta_fast', 'beta_slow', 'mscale', 'mscale_all_dim');
  return unscaled(Array.from({ length: dims / 2 }, (_, j) => grown ** ((-2 * j) / dims)));
};

const longrope: Scaling = (c, plain) => {
  const original = originalContext(c, plain, plain.maxContext);
  if (original < 2) c.fail('original_max_position_embeddings', 'at least 2');
  const { short, long } = readLongRope(c, { ...plain, original });
  return { frequencies: short.inverseFrequencies, amplitude: short.amplitude, latentScale: 1, long };
};

/**
 * Gemma 4's: of a whole head's pairs, the first share turns at the frequencies that a full rotation would have, the others stand still. Read apart
 * from the others, which know no pairs that stand.
 */
function proportional(headSize: number, theta: number, share: number): readonly number[] {
  const turning = Math.trunc((share * headSize) / 2);
  return Array.from({ length: headSize / 2 }, (_, j) => (j < turning ? theta ** ((-2 * j) / headSize) : 0));
}

const SCALINGS: ReadonlyMap<string, Scaling> = new Map<string, Scaling>([
  ['default', (_, { frequencies }) => unscaled(frequencies)],
  ['linear', linear],
  ['yarn', yarn],
  ['llama3', llama3],
  ['dynamic', dynamic],
  ['longrope', longrope],
  ['su', longrope], // as Phi's first files call it
]);

const REFUSED: Readonly<Record<string, string>> = {
  mrope: 'it needs positions on three axes',
};

function refused(c: ConfigReader, kind: string): UnsupportedModel {
  const why = REFUSED[kind];
  const runs = [...SCALINGS.keys()];
  return new UnsupportedModel(
    `${c.path}: rotary embedding of type "${kind}" is not supported${why ? `: ${why}` : ''} (only ${runs.join(', ')})`,
    { path: c.path, key: 'rope_type', found: kind },
  );
}

function scalingOf(c: ConfigReader): Scaling {
  const kind = c.raw('rope_type', 'type') ?? 'default';
  const alias = c.raw('type');
  if (typeof kind !== 'string') c.fail('rope_type', 'a string');
  if (alias !== undefined && alias !== kind) c.fail('type', `the same as rope_type ("${kind}")`);
  const scaling = SCALINGS.get(kind);
  if (scaling) return scaling;
  throw refused(c, kind);
}

/** Values at the top of config.json, where v4 files have them. */
interface Top {
  readonly theta: number | undefined;
  readonly partial: number | undefined;
  readonly original: number | undefined;
}

function agreed(c: ConfigReader, key: string, min: number, top: number | undefined): number | undefined {
  const inside = optional(c, key, min);
  if (inside !== undefined && top !== undefined && inside !== top) {
    c.fail(key, `the same as ${key} at the top of the file (${top})`);
  }
  return inside ?? top;
}

function oneRope(c: ConfigReader, top: Top, request: RopeRequest): Rope {
  const { headSize, maxContext, interleaved = false } = request;
  const theta = agreed(c, 'rope_theta', 2, top.theta) ?? request.theta;
  const partial = agreed(c, 'partial_rotary_factor', 0, top.partial) ?? request.partial ?? 1;
  if (partial > 1 || (request.partial === undefined && partial !== 1)) {
    c.fail('partial_rotary_factor', request.partial === undefined ? '1 in this family' : 'at most 1');
  }
  if (c.raw('rope_type') === 'proportional') {
    c.only('factor', 1);
    c.finish();
    return {
      rope: { inverseFrequencies: proportional(headSize, theta, partial), amplitude: 1, interleaved },
      latentScale: 1,
    };
  }
  const dims = Math.trunc(headSize * partial);
  if (dims < 2 || dims % 2) {
    throw new InvalidCheckpoint('config', `${c.path}: an even number of values of a head must rotate, found ${dims}`, {
      path: c.path,
      headSize,
      partial,
    });
  }
  const frequencies = Array.from({ length: dims / 2 }, (_, j) => theta ** ((-2 * j) / dims));
  // Sections of a head for positions on three axes, which are one and the same in text.
  if (c.raw('rope_type') === 'default') c.irrelevant('mrope_section', 'mrope_interleaved');
  const scaled = scalingOf(c)(c, { theta, dims, maxContext, original: top.original, frequencies });
  c.finish();
  const { amplitude, latentScale, long } = scaled;
  return {
    rope: { inverseFrequencies: scaled.frequencies, amplitude, interleaved, ...(long && { long }) },
    latentScale,
  };
}

/**
 * Reads `rope_theta`, `rope_scaling`, `rope_parameters`, `partial_rotary_factor` and `original_max_position_embeddings`, and their nested keys.
 * @returns the embedding of a layer of the given type
 * @throws UnsupportedModel for kinds that no fixed table expresses, InvalidCheckpoint for contradictions
 */
export function readRope(config: ConfigReader, request: RopeRequest): (layer: LayerType) => Rope {
  const top: Top = {
    theta: optional(config, 'rope_theta', 2),
    partial: optional(config, 'partial_rotary_factor', 0),
    original: optional(config, 'original_max_position_embeddings', 1),
  };
  const parameters = config.section('rope_parameters');
  const scaling = config.section('rope_scaling');
  if (parameters && scaling) config.fail('rope_scaling', 'absent, because rope_parameters is there too');
  const section = parameters ?? scaling ?? config.empty('rope_scaling');
  if (!section.has('full_attention') && !section.has('sliding_attention')) {
    const rope = oneRope(section, top, request);
    return () => rope;
  }
  const byType = new Map<LayerType, Rope>();
  for (const type of ['full_attention', 'sliding_attention'] as const) {
    const inner = section.section(type);
    if (inner) byType.set(type, oneRope(inner, top, request));
  }
  section.finish();
  return (layer) => byType.get(layer) ?? section.fail(layer, 'there, because a layer is of this type');
}
