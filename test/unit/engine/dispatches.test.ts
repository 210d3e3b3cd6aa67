/** docs/performance-dispatches.md against what the parts of each fixture cost; test/model/fixtures.test.ts holds the recorder to the same rows. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readModelConfig } from '../../../src/config/load.ts';
import type { ModelConfig } from '../../../src/config/model-config.ts';
import { layerDispatches, listedDispatches, stepDispatches } from '../../support/dispatches.ts';
import { ENCODER_DECODERS, ENCODERS, fixturePath, FIXTURES, MORE_FORMATS } from '../../support/fixture-list.ts';

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

  const all = [...FIXTURES, ...MORE_FORMATS, ...ENCODER_DECODERS, ...ENCODERS];

  it.each(all)('%s', (fixture) => {
    const row = listed.get(fixture);
    const cells = row && [row.gpu.decode, row.gpu.prefill, row.software.decode, row.software.prefill];
    expect(cells && `| \`${fixture}\` | ${cells.join(' | ')} |`, 'its row of the table').toBe(rowOf(fixture));
  });

  it('lists nothing else', () => {
    expect([...listed.keys()].filter((fixture) => !all.includes(fixture))).toEqual([]);
  });
});

it('a layer of experts costs a GPU at most 6 dispatches a token and 9 a chunk, with latent attention 7 and 11, with a gate on attention 7 and 10, with a recurrent state 11 and 13, and 4 more with experts in a latent', () => {
  for (const config of FIXTURES.map(configOf)) {
    for (const layer of config.layers) {
      const weighs = layer.ffn.kind === 'moe' && layer.ffn.weightsOn === 'input';
      const isParallel = layer.ffn.kind === 'moe' && layer.ffn.parallel;
      if (
        config.norm !== 'rms' ||
        config.postNorms ||
        config.joinGains ||
        weighs ||
        isParallel ||
        'mixture' in layer.mixer ||
        'filter' in layer.mixer
      )
        continue; // its own rows, above
      const { kind } = layer.mixer;
      const gate = Number(kind === 'grouped' && layer.mixer.outputGate !== undefined);
      const [token, chunk] = kind === 'latent' ? [7, 11] : kind === 'grouped' ? [6 + gate, 9 + gate] : [11, 13];
      const latent = layer.ffn.kind === 'moe' && layer.ffn.latent ? 4 : 0; // down, up, and those of the shared expert
      expect(layerDispatches(layer, config, 'decode', 'gpu')).toBeLessThanOrEqual(token + latent);
      expect(layerDispatches(layer, config, 'prefill', 'gpu')).toBeLessThanOrEqual(chunk + latent);
    }
  }
});
