/** Tensors that config.json does not announce, and small ones of a wrong shape: refused before a GPU is asked for anything. */
import { describe, expect, it } from 'vitest';
import { inspect } from '../../../src/engine/inspect.ts';
import { plan } from '../../../src/engine/load.ts';
import { DEFAULT_DEVICE_LIMITS } from '../../../src/engine/open.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../../src/errors.ts';
import { configOf, FAMILIES_WITHOUT_GOLDEN, ODD_FAMILIES } from '../../support/configs.ts';
import { plain, synthetic, type Encoded, type Wanted } from '../../support/synthetic.ts';
import { bytesOf, memorySource, type MemorySource, type TensorSpec } from '../../support/weights.ts';

const vector = (length: number): TensorSpec => ({
  dtype: 'F32',
  shape: [length],
  bytes: bytesOf(new Float32Array(length)),
});

/** A model whose tensor `beside` is followed by `extra`. */
function withExtra(family: string, beside: string, extra: Record<string, TensorSpec>): MemorySource {
  const encode = (tensor: Wanted): Encoded => {
    const encoded = plain('BF16')(tensor);
    return tensor.name === beside ? { ...encoded, stored: { ...encoded.stored, ...extra } } : encoded;
  };
  return memorySource(synthetic(configOf(family), { encode }).files);
}

const Q = 'model.layers.1.self_attn.q_proj.weight';

describe('tensors that nothing reads', () => {
  it.each([...ODD_FAMILIES, ...FAMILIES_WITHOUT_GOLDEN])('%s has none', async (family) => {
    const { warnings } = await inspect(memorySource(synthetic(configOf(family)).files), DEFAULT_DEVICE_LIMITS);
    expect(warnings).toEqual([]);
  });

  it('stop the load by name where they belong to a layer', async () => {
    const source = withExtra('mixtral', Q, { 'model.layers.1.self_attn.q_proj.bias': vector(144) });
    await expect(plan(source)).rejects.toThrow(UnsupportedModel);
    await expect(plan(source)).rejects.toThrow(/self_attn\.q_proj\.bias/);
  });

  it('are a warning elsewhere', async () => {
    const source = withExtra('mixtral', Q, { 'mtp.norm.weight': vector(8) });
    await plan(source);
    const { warnings } = await inspect(source, DEFAULT_DEVICE_LIMITS);
    expect(warnings).toEqual(['tensors that nothing reads: mtp.norm.weight']);
  });

  it('are fine in layers of a head that predicts further tokens', async () => {
    const source = withExtra('glm4-moe', Q, { 'model.layers.2.eh_proj.weight': vector(8) });
    expect((await inspect(source, DEFAULT_DEVICE_LIMITS)).warnings).toEqual([]);
  });
});

it.each([
  ['mixtral', 'model.norm.weight'],
  ['gpt-oss', 'model.layers.0.self_attn.sinks'],
  ['gpt-oss', 'model.layers.0.mlp.experts.down_proj_bias'],
  ['deepseek-v3', 'model.layers.1.mlp.gate.e_score_correction_bias'],
])('%s: %s of a wrong shape is refused by name', async (family, name) => {
  const encode = (tensor: Wanted): Encoded =>
    tensor.name === name ? { numbers: new Float64Array(0), stored: { [name]: vector(7) } } : plain('BF16')(tensor);
  const refused = plan(memorySource(synthetic(configOf(family), { encode }).files));
  await expect(refused).rejects.toThrow(InvalidCheckpoint);
  await expect(refused).rejects.toMatchObject({ fault: 'wrong-shape', details: { tensor: name } });
});
