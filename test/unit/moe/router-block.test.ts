import { describe, expect, it } from 'vitest';
import { predictedAt, predictedIds, routedBytes } from '../../../src/kernels/moe/route.ts';
import { routerBlock, sameBlock, type RouterBlockShape } from '../../../src/kernels/moe/router_block.ts';
import { planes, type Layout } from '../../../src/weights/layout.ts';

const INT4: Layout = { kind: 'int', bits: 4, group: 32, scale: 'f16', zeros: true };
const FLAGS = [false, true];

const shapes: RouterBlockShape[] = ([{ kind: 'bf16' }, { kind: 'f32' }, { kind: 'mxfp4' }, INT4] as Layout[]).flatMap(
  (layout) =>
    FLAGS.flatMap((logitBias) =>
      FLAGS.flatMap((selectionBias) =>
        FLAGS.flatMap((sharedGate) =>
          [
            [1, 1],
            [37, 5],
            [64, 96],
          ].map(([hidden, experts]) => ({
            hidden: hidden!,
            experts: experts!,
            layout,
            normBias: selectionBias,
            logitBias,
            selectionBias,
            sharedGate,
          })),
        ),
      ),
    ),
);

describe('routerBlock', () => {
  it('puts the matrix first and the vectors that there are behind it, without gaps', () => {
    for (const shape of shapes) {
      const block = routerBlock(shape);
      const { gammaAt, ...bare } = routerBlock({ ...shape, norm: false });
      expect([gammaAt, block.usedBytes - bare.usedBytes]).toEqual([-1, 4 * shape.hidden * (shape.normBias ? 2 : 1)]);
      const { hidden, experts } = shape;
      const vectors: [boolean, number, number][] = [
        [true, block.gammaAt, shape.normBias ? 2 * hidden : hidden],
        [shape.logitBias, block.logitBiasAt, experts],
        [shape.selectionBias, block.selectionBiasAt, experts],
        [shape.sharedGate, block.sharedGateAt, hidden],
      ];
      let end = planes(shape.layout, { rows: experts, cols: hidden }).bytes;
      for (const [isThere, at, values] of vectors) {
        expect(at).toBe(isThere ? end : -1);
        if (isThere) end += 4 * values;
      }
      expect(block.bytes % 256).toBe(0);
      expect(block.bytes - end).toBeGreaterThanOrEqual(0);
      expect(block.bytes - end).toBeLessThan(256);
    }
  });

  it('has the second of two maps last, in f32', () => {
    for (const shape of shapes) {
      const block = routerBlock({ ...shape, inner: 24 });
      const { hidden, experts, layout } = shape;
      const first =
        planes(layout, { rows: 24, cols: hidden }).bytes - planes(layout, { rows: experts, cols: hidden }).bytes;
      const { usedBytes } = routerBlock(shape);
      expect([block.secondAt, block.usedBytes]).toEqual([usedBytes + first, usedBytes + first + 4 * 24 * experts]);
    }
  });

  it('is the same for equal shapes only', () => {
    const blocks = shapes.map(routerBlock);
    blocks.forEach((a, i) => {
      blocks.forEach((b, j) => expect(sameBlock(a, b)).toBe(i === j));
      expect(sameBlock(a, routerBlock(shapes[i]!))).toBe(true);
      expect(sameBlock(a, routerBlock({ ...shapes[i]!, inner: 8 }))).toBe(false);
    });
  });
});

describe('the routing of a step', () => {
  it('has ids and weights of all tokens, then what is predicted', () => {
    expect([predictedIds(8, 64), predictedIds(2, 3), predictedIds(4, 4), predictedIds(1, 1)]).toEqual([10, 3, 4, 1]);
    expect([predictedAt(1, 8), routedBytes(1, 8), routedBytes(1, 8, 10)]).toEqual([64, 64, 104]);
    expect([predictedAt(3, 2), routedBytes(3, 2, 3)]).toEqual([48, 84]);
    expect(routedBytes(0, 2, 4)).toBe(0);
  });
});
