import { describe, expect, it } from 'vitest';
import { tileBound } from '../../../src/kernels/moe/group.ts';
import { partsOf } from '../../../src/kernels/moe/slot.ts';
import { downShape, gateUpShape, slotLayout, type SlotShape } from '../../../src/moe/slots.ts';
import { group } from '../../../src/reference/moe/group.ts';
import { prng } from '../../../src/util/prng.ts';
import { planes, type Layout } from '../../../src/weights/layout.ts';

const INT4: Layout = { kind: 'int', bits: 4, group: 32, scale: 'f16', zeros: true };
const layouts: Layout[] = [{ kind: 'bf16' }, { kind: 'f32' }, { kind: 'mxfp4' }, INT4];

describe('slotLayout', () => {
  it('puts the parts one after the other, aligned, without overlap', () => {
    for (const gateUp of layouts) {
      for (const down of layouts) {
        for (const bias of [false, true]) {
          for (const [hidden, width] of [
            [1, 1],
            [37, 5],
            [64, 96],
          ] as const) {
            const shape: SlotShape = { hidden, width, gateUp, down, bias };
            const slot = slotLayout(shape);
            const parts = [
              [slot.gateUpAt, planes(gateUp, gateUpShape(shape)).bytes],
              [slot.downAt, planes(down, downShape(shape)).bytes],
              ...(bias
                ? [
                    [slot.gateUpBiasAt, 2 * width * 4],
                    [slot.downBiasAt, hidden * 4],
                  ]
                : []),
            ] as [number, number][];
            let end = 0;
            for (const [i, [at, bytes]] of parts.entries()) {
              const alignment = i < 2 ? 256 : 16; // matrices can be bound by themselves, biases need not be
              expect(at % alignment).toBe(0);
              expect(at).toBeGreaterThanOrEqual(end);
              expect(at - end).toBeLessThan(alignment);
              end = at + bytes;
            }
            expect(slot.bytes % 256).toBe(0);
            expect(slot.bytes - end).toBeGreaterThanOrEqual(0);
            expect(slot.bytes - end).toBeLessThan(256);
            if (!bias) expect([slot.gateUpBiasAt, slot.downBiasAt]).toEqual([-1, -1]);
          }
        }
      }
    }
  });
});

describe('tileBound', () => {
  it('is never exceeded', () => {
    const random = prng(1);
    for (let i = 0; i < 300; i++) {
      const experts = 1 + Math.floor(random() * 40);
      const favourites = 1 + Math.floor(random() * experts);
      const ids = Array.from({ length: Math.floor(random() * 200) }, () => Math.floor(random() * favourites));
      for (const rows of [16, 32])
        expect(group(ids, experts, rows).tiles.length).toBeLessThanOrEqual(tileBound(ids.length, experts, rows));
    }
  });
  it('is reached: every expert but one has a single row, and one has all others', () => {
    for (const [experts, rows] of [
      [4, 16],
      [7, 32],
      [1, 16],
    ] as const) {
      for (const whole of [0, 1, 5]) {
        const ids = [...Array(experts).keys(), ...Array<number>(whole * rows).fill(0)];
        expect(group(ids, experts, rows).tiles.length).toBe(tileBound(ids.length, experts, rows));
      }
    }
  });
  it('is exact at the edges', () => {
    expect(tileBound(0, 8, 16)).toBe(0);
    expect(tileBound(1, 8, 16)).toBe(1);
    expect(tileBound(16, 1, 16)).toBe(1);
    expect(tileBound(17, 1, 16)).toBe(2);
    expect(tileBound(4096, 64, 16)).toBe(316);
  });
});

describe('partsOf', () => {
  it('is a power of two, at most the lanes wanted and the first that covers the chunks', () => {
    expect([1, 32, 33, 96, 576, 4096].map((values) => partsOf(16, values))).toEqual([1, 1, 2, 4, 16, 16]);
    expect(partsOf(4, 4096)).toBe(4);
  });
});
