/**
 * How all that the router of one MoE layer needs lies in one range of a buffer: the matrix [E, D] (of experts that attend to each other [3 E, D], of two maps the first [inner, D]) in its native layout, then f32 vectors, the
 * norm's gamma [D] (with a bias [2 D]), logit bias [E], selection bias [E], shared gate [D], gains of the router's own norm [D], a scale of each expert [E], the second map [E, inner], those that there are. One range is one or two bindings whatever the
 * family has, and blocks of one layout one after the other let a layer read its successor's.
 */
import { BINDING_ALIGNMENT, type BufferView } from '../../gpu/buffer.ts';
import { alignUp } from '../../util/math.ts';
import { planes, sameLayout, type Layout } from '../../weights/layout.ts';

export interface RouterBlockShape {
  readonly hidden: number; // D
  readonly experts: number; // E
  readonly layout: Layout;
  /** The matrix has rows of q, k and v. Default false. */
  readonly attends?: boolean;
  /** Rows of the first of two maps; 0: there is one. Default 0. */
  readonly inner?: number;
  /** Default true: experts read the residual stream through a norm. */
  readonly norm?: boolean;
  /** Of a layer norm: biases lie behind the gains. */
  readonly normBias: boolean;
  readonly logitBias: boolean;
  readonly selectionBias: boolean;
  readonly sharedGate: boolean;
  /** Default false. */
  readonly routerGains?: boolean;
  readonly expertScale?: boolean;
}

/** Byte offsets from the block's start, where the matrix is; -1 for a vector that is not there. */
export interface RouterBlock extends RouterBlockShape {
  readonly gammaAt: number;
  readonly logitBiasAt: number;
  readonly selectionBiasAt: number;
  readonly sharedGateAt: number;
  readonly routerGainsAt: number;
  readonly expertScaleAt: number;
  readonly secondAt: number;
  /** What is in it. */
  readonly usedBytes: number;
  /** From one block to the next: a multiple of 256. */
  readonly bytes: number;
}

/** A layer's router block on the GPU. */
export interface DeviceRouter {
  readonly block: RouterBlock;
  readonly view: BufferView; // block.bytes
  /** This block and the next MoE layer's, when that has the same layout and lies right behind. */
  readonly withNext: BufferView | null; // 2 * block.bytes
}

/** Of the matrix. */
export const routerRows = ({
  experts,
  attends = false,
  inner = 0,
}: Pick<RouterBlockShape, 'experts' | 'attends' | 'inner'>): number => inner || (attends ? 3 * experts : experts);

export function routerBlock(shape: RouterBlockShape): RouterBlock {
  const {
    hidden,
    experts,
    layout,
    attends = false,
    inner = 0,
    norm = true,
    normBias,
    logitBias,
    selectionBias,
    sharedGate,
    routerGains = false,
    expertScale = false,
  } = shape;
  let end = planes(layout, { rows: routerRows(shape), cols: hidden }).bytes;
  const place = (isThere: boolean, values: number): number => {
    if (!isThere) return -1;
    const at = end;
    end += 4 * values;
    return at;
  };
  return {
    hidden,
    experts,
    layout,
    attends,
    inner,
    norm,
    normBias,
    logitBias,
    selectionBias,
    sharedGate,
    routerGains,
    expertScale,
    gammaAt: place(norm, normBias ? 2 * hidden : hidden),
    logitBiasAt: place(logitBias, experts),
    selectionBiasAt: place(selectionBias, experts),
    sharedGateAt: place(sharedGate, hidden),
    routerGainsAt: place(routerGains, hidden),
    expertScaleAt: place(expertScale, experts),
    secondAt: place(inner > 0, experts * inner),
    usedBytes: end,
    bytes: alignUp(end, BINDING_ALIGNMENT),
  };
}

export const sameBlock = (a: RouterBlock, b: RouterBlock): boolean =>
  a.hidden === b.hidden &&
  a.experts === b.experts &&
  sameLayout(a.layout, b.layout) &&
  a.attends === b.attends &&
  a.inner === b.inner &&
  a.norm === b.norm &&
  a.normBias === b.normBias &&
  a.logitBias === b.logitBias &&
  a.selectionBias === b.selectionBias &&
  a.sharedGate === b.sharedGate &&
  a.routerGains === b.routerGains &&
  a.expertScale === b.expertScale;
