/**
 * The catalogue of widely used open checkpoints (test/fixtures/catalogue): every config reads, and describes as many parameters as its
 * publisher says. Headers are what the config and its family's names imply; a plan of one checkpoint a family shows that they add up.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readModelConfig } from '../../../src/config/load.ts';
import { parameterCounts } from '../../../src/config/parameters.ts';
import { inspect } from '../../../src/engine/inspect.ts';
import { thinned } from '../../support/everyday.ts';
import { sourceOfConfig } from '../../support/published-source.ts';
import type { JsonObject } from './published.ts';

interface Entry {
  readonly repo: string;
  /** Billions, with the digits that the publisher gives. Some count the active ones without the embedding, or without the head too, or do not give them. */
  readonly published: {
    readonly total: string;
    /** Default `nothing`. */
    readonly totalWithout?: 'nothing' | 'embedding';
    readonly active?: string;
    readonly activeWithout: 'nothing' | 'embedding' | 'embedding and head';
  };
  readonly config: JsonObject;
}

const folder = fileURLToPath(new URL('../../fixtures/catalogue/', import.meta.url));
const CATALOGUE = readdirSync(folder).map((file) => JSON.parse(readFileSync(`${folder}${file}`, 'utf8')) as Entry);
const load = ({ config }: Entry): ReturnType<typeof readModelConfig> => readModelConfig(JSON.stringify(config));

/** Within 1 %, or the published digits are those of the count, rounded or cut off. */
function expectPublished(counted: number, published: string, what: string): void {
  const unit = 10 ** -(published.split('.')[1]?.length ?? 0);
  const [ours, theirs] = [counted / 1e9, Number(published)];
  const isSame =
    Math.abs(ours - theirs) <= Math.max(0.01 * theirs, 0.5 * unit) ||
    Math.floor(ours / unit) === Math.round(theirs / unit);
  expect(isSame, `${what}: ${ours} billion parameters, published as ${published}`).toBe(true);
}

it('has the checkpoints of every family but the dense ones', () => {
  expect(CATALOGUE.length).toBeGreaterThanOrEqual(60);
  expect(new Set(CATALOGUE.map(({ repo }) => repo)).size).toBe(CATALOGUE.length);
});

it.each(CATALOGUE)('$repo has the published number of parameters', (entry) => {
  const { config } = load(entry);
  const { total, active, embedding } = parameterCounts(config);
  const { published } = entry;
  const left = { nothing: 0, embedding, 'embedding and head': config.tieEmbeddings ? embedding : 2 * embedding };
  expectPublished(total - left[published.totalWithout ?? 'nothing'], published.total, 'total');
  if (published.active) expectPublished(active - left[published.activeWithout], published.active, 'active');
});

/** Of an ordinary graphics card. */
const LIMITS = { maxStorageBufferBindingSize: 2 ** 31 - 4, maxBufferSize: 2 ** 32 - 4 };

/** Larger ones take seconds to describe, tensor by tensor. */
const MOST_PLANNED = 40e9;

/** The smallest of each family that is published in a form which headers of plain matrices stand for. */
const PLANNED = [
  ...new Map(
    CATALOGUE.filter(({ config }) => config.quantization_config === undefined)
      .map((entry) => ({ entry, family: load(entry).family.id, total: parameterCounts(load(entry).config).total }))
      .filter(({ total }) => total < MOST_PLANNED)
      .sort((a, b) => b.total - a.total)
      .map(({ entry, family }) => [family, entry] as const),
  ),
];

describe('plans', () => {
  it.each(thinned(PLANNED, 6))('%s', async (family, entry) => {
    const found = await inspect(sourceOfConfig(entry.repo, entry.config), LIMITS);
    expect(found.warnings).toEqual([]);
    expect(found.parameters.total).toBe(parameterCounts(load(entry).config).total);
    // bf16: two bytes for each parameter; rows that are keys and values (Gemma 4) are read twice.
    // Vectors do not count: in ZAYA1 convolutions and layers of routers are such.
    const off = Math.abs(found.checkpointBytes / (2 * found.parameters.total) - 1);
    expect(off).toBeLessThan(family === 'zaya' ? 3e-3 : 1e-3);
    expect(found.fit.q4.verdict).not.toBe('impossible');
  });
});
