/** docs/performance-dispatches.md against what the parts of each fixture cost; test/model/fixtures.test.ts holds the recorder to the same rows. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readModelConfig } from '../../../src/config/load.ts';
import type { ModelConfig } from '../../../src/config/model-config.ts';
import { layerDispatches, listedDispatches, stepDispatches } from '../../support/dispatches.ts';
import { fixturePath, FIXTURES } from '../../support/models.ts';

const configOf = (fixture: string): ModelConfig =>
  readModelConfig(readFileSync(`${fixturePath(fixture)}/config.json`, 'utf8')).config;

const rowOf = (fixture: string): string => {
  const config = configOf(fixture);
  const count = (kernels: 'gpu' | 'software'): number[] => [
    stepDispatches(config, 'decode', kernels),
    stepDispatches(config, 'prefill', kernels),
  ];
  return `| \`${fixture}\` | ${[...count('gpu'), ...count('software')].join(' | ')} |`;
};

describe('docs/performance-dispatches.md', () => {
  const listed = listedDispatches();

  it.each(FIXTURES)('%s', (fixture) => {
    const row = listed.get(fixture);
    const cells = row && [row.gpu.decode, row.gpu.prefill, row.software.decode, row.software.prefill];
    expect(cells && `| \`${fixture}\` | ${cells.join(' | ')} |`, 'its row of the table').toBe(rowOf(fixture));
  });

  it('lists nothing else', () => {
    expect([...listed.keys()].filter((fixture) => !FIXTURES.includes(fixture))).toEqual([]);
  });
});

it('a layer of experts costs a GPU at most 6 dispatches a token and 9 a chunk, with latent attention 7 and 11', () => {
  for (const { layers } of FIXTURES.map(configOf)) {
    for (const layer of layers) {
      const isLatent = layer.attention.kind === 'latent';
      expect(layerDispatches(layer, 'decode', 'gpu')).toBeLessThanOrEqual(isLatent ? 7 : 6);
      expect(layerDispatches(layer, 'prefill', 'gpu')).toBeLessThanOrEqual(isLatent ? 11 : 9);
    }
  }
});
