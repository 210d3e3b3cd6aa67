import { describe, it } from 'vitest';
import { openTestGpu } from '../../support/gpu.ts';
import { pairwiseCover } from '../../support/layer-cases.ts';
import { checkLayer } from './twin.ts';

const gpu = await openTestGpu({ defaultLimits: true });

describe('a standalone layer equals its twin in doubles, forward and backward, dropped tokens and counts exactly', () => {
  it.each(pairwiseCover().cases)('$name', (layerCase) => checkLayer(gpu, layerCase));
});
