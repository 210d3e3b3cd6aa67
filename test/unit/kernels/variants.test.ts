import { describe, expect, it } from 'vitest';
import { DeviceCapability } from '../../../src/errors.ts';
import { factsOf, type Arithmetic, type DeviceFacts } from '../../../src/gpu/device.ts';
import { expandShader } from '../../../src/gpu/shader.ts';
import { hasSubgroups, productsImport } from '../../../src/kernels/linear/products.ts';
import type { Layout } from '../../../src/weights/layout.ts';

const INT4: Layout = { kind: 'int', bits: 4, group: 32, scale: 'f16', zeros: false };

function facts(features: string[], arithmetic?: Arithmetic, kernels: 'gpu' | 'software' = 'gpu'): DeviceFacts {
  const device = { features: new Set(features), limits: {} } as unknown as GPUDevice;
  return factsOf(device, { vendor: 'v' } as GPUAdapterInfo, { kernels, arithmetic });
}

/** Of an adapter with these products of matrices. */
function matricesOf(
  units: readonly (readonly [from: string, to: string, m: number, n: number, k: number])[],
  { features = MATRICES, subgroupMaxSize = 32, bytes = 32768 } = {},
): unknown {
  const device = { features: new Set(features), limits: { maxComputeWorkgroupStorageSize: bytes } };
  const subgroupMatrixConfigs = units.map(([componentType, resultComponentType, M, N, K]) => {
    return { componentType, resultComponentType, M, N, K };
  });
  const info = { vendor: 'v', subgroupMaxSize, subgroupMatrixConfigs } as unknown as GPUAdapterInfo;
  return factsOf(device as unknown as GPUDevice, info, { arithmetic: 'f16' }).matrices;
}
const MATRICES = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'];

describe('subgroup matrices', () => {
  const EIGHT = ['f16', 'f32', 8, 8, 8] as const;
  it.each([
    ['the largest', [EIGHT, ['f16', 'f32', 16, 16, 16], ['f16', 'f32', 8, 16, 16]], { m: 16, n: 16, k: 16 }],
    ['of f16, added up in f32', [['f16', 'f16', 16, 16, 16], ['i8', 'i32', 16, 16, 32], EIGHT], { m: 8, n: 8, k: 8 }],
    [
      'that divides a tile of 16 rows, 64 places and 32 k',
      [
        ['f16', 'f32', 32, 32, 16],
        ['f16', 'f32', 16, 16, 64],
      ],
      null,
    ],
  ] as const)('are %s', (_, units, expected) => {
    expect(matricesOf(units)).toEqual(expected);
  });

  it('need their features, subgroups that divide a workgroup, and room', () => {
    expect(matricesOf([EIGHT], { subgroupMaxSize: 64 })).toEqual({ m: 8, n: 8, k: 8 });
    expect(matricesOf([EIGHT], { subgroupMaxSize: 128 })).toBe(null);
    expect(matricesOf([EIGHT], { bytes: 16384 })).toBe(null);
    expect(matricesOf([EIGHT], { features: ['shader-f16', 'subgroups'] })).toBe(null);
    expect(matricesOf([])).toBe(null);
  });
});

describe('variants', () => {
  it.each([
    [['shader-f16'], 'f16', 'f16'],
    [['shader-f16'], undefined, 'f32'],
    [['shader-f16'], 'f32', 'f32'],
    [[], 'int8', 'int8'],
  ] as const)('of an adapter with %j asked for %s: %s', (features, wish, got) => {
    expect(facts([...features], wish).arithmetic).toBe(got);
  });

  it('refuses f16 where the adapter has none', () => {
    expect(() => facts([], 'f16')).toThrow(DeviceCapability);
  });

  it('are of 4-bit and 8-bit weights, and not of software adapters', () => {
    const f16 = facts(['shader-f16', 'subgroups'], 'f16');
    expect(productsImport(INT4, f16, 1)).toBe('weights/products_f16');
    expect(productsImport({ kind: 'mxfp4' }, f16, 2)).toBe('weights/products_f16');
    expect(productsImport({ kind: 'bf16' }, f16, 2)).toBe('weights/products_plain');
    expect(productsImport(INT4, facts([]), 2)).toBe('weights/products_bytes');
    expect(productsImport(INT4, facts([]), 1)).toBe('weights/products_plain');
    expect(productsImport(INT4, facts([], 'int8', 'software'), 2)).toBe('weights/products_plain');
    expect([hasSubgroups(f16), hasSubgroups(facts([])), hasSubgroups(facts(['subgroups'], 'f32', 'software'))]).toEqual(
      [true, false, false],
    );
  });

  it('have what they enable at the top, once, and messages still find their lines', () => {
    const sources = { a: 'const A = 1;\n#import b\n#import c', b: 'enable f16;\nconst B = 2;', c: 'enable f16;' };
    const { code, origin } = expandShader('a', {}, {}, sources);
    expect(code).toBe('enable f16;\nconst A = 1;\nconst B = 2;');
    expect(origin[2]).toEqual({ file: 'b', line: 2 });
  });
});
