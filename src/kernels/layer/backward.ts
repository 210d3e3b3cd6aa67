/** Gradients of a standalone layer, after a forward pass whose buffers are as it left them. */
import type { LayerShape } from '../../config/moe-layer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';
import { ceilDiv } from '../../util/math.ts';
import { activationConstants } from '../activation.ts';
import type { SlotLayout } from '../moe/slot.ts';
import { weightConstants } from './place.ts';
import { rowWords, scoreFlags, sizesOf, slotConstants, type GradViews, type LayerViews } from './views.ts';

type Io = LayerViews & GradViews;

export function backward(recorder: Recorder, io: Io, shape: LayerShape, slot: SlotLayout): void {
  combineGrad(recorder, io, shape);
  actGrad(recorder, io, shape, slot);
  routerGrad(recorder, io, shape);
  xGrad(recorder, io, shape, slot);
  expertGrad(recorder, io, shape, slot, 'gateUp');
  expertGrad(recorder, io, shape, slot, 'down');
  routerWeightGrad(recorder, io, shape);
}

function combineGrad(recorder: Recorder, io: Io, shape: LayerShape): void {
  const { ALL, X } = sizesOf(shape);
  recorder.dispatch({
    shader: 'layer/combine_grad',
    constants: { D: shape.hidden, ALL, X },
    bindings: { dout: io.dout, y: io.y, x: io.x, row_of_pair: io.rowOfPair, routed: io.routed, dots: io.dots },
    grid: ({ tokens }) => foldGrid(ceilDiv(tokens * ALL, 64)),
  });
}

function actGrad(recorder: Recorder, io: Io, shape: LayerShape, slot: SlotLayout): void {
  const { ALL, X } = sizesOf(shape);
  const { ACT_SILU, ACT_GELU_TANH } = activationConstants({ kind: shape.activation });
  recorder.dispatch({
    shader: 'layer/act_grad',
    constants: {
      D: shape.hidden,
      F: shape.width,
      ALL,
      X,
      ...slotConstants(slot),
      DOWN_AT: slot.downAt / 4,
      DOWN_ROW: rowWords(slot.width),
      ACT_SILU: ACT_SILU!,
      ACT_GELU_TANH: ACT_GELU_TANH!,
    },
    bindings: {
      arena: io.arena,
      x: io.x,
      dout: io.dout,
      pair_of_row: io.pairOfRow,
      routed: io.routed,
      dpre: io.dpre,
    },
    grid: ({ tokens }) => foldGrid(ceilDiv(tokens * ALL * shape.width, 64)),
  });
}

function routerGrad(recorder: Recorder, io: Io, shape: LayerShape): void {
  const { G, M, ALL, PLANES } = sizesOf(shape);
  recorder.dispatch({
    shader: 'layer/router_grad',
    constants: {
      G,
      M,
      K: shape.topK,
      ALL,
      PLANES,
      ...scoreFlags(shape),
      ...weightConstants(shape),
      NOISY: shape.noise === 'noisy-top-k',
      RESIDUAL: shape.residual,
    },
    bindings: {
      logits: io.logits,
      gates: io.gates,
      chosen: io.chosen,
      kept: io.kept,
      dots: io.dots,
      facts: io.facts,
      loss_grads: io.lossGrads,
      dlogits: io.dlogits,
      u_gate: io.gate,
    },
    grid: ({ tokens }) => foldGrid(ceilDiv(tokens, 64)),
  });
}

function xGrad(recorder: Recorder, io: Io, shape: LayerShape, slot: SlotLayout): void {
  const { M, ALL, X } = sizesOf(shape);
  const JITTERED = shape.noise === 'jitter';
  recorder.dispatch({
    shader: 'layer/x_grad',
    constants: {
      D: shape.hidden,
      F: shape.width,
      ALL,
      X,
      M,
      RESIDUAL_ROWS: shape.residual ? 2 : 0,
      ...slotConstants(slot),
      JITTERED,
      ...(JITTERED ? { JITTER: shape.jitter } : {}),
    },
    bindings: {
      arena: io.arena,
      dpre: io.dpre,
      row_of_pair: io.rowOfPair,
      routed: io.routed,
      dlogits: io.dlogits,
      router: io.router,
      dout: io.dout,
      dx: io.dx,
      ...(JITTERED ? { u_gate: io.gate } : {}),
    },
    grid: ({ tokens }) => [ceilDiv(shape.hidden, 64), tokens, 1],
  });
}

function expertGrad(recorder: Recorder, io: Io, shape: LayerShape, slot: SlotLayout, matrix: 'gateUp' | 'down'): void {
  const { ALL, X } = sizesOf(shape);
  const DOWN = matrix === 'down';
  const [N, COLS] = DOWN ? [shape.hidden, shape.width] : [2 * shape.width, shape.hidden];
  recorder.dispatch({
    shader: 'layer/expert_grad',
    label: `layer/expert_grad ${matrix}`,
    constants: {
      ALL,
      X,
      N,
      COLS,
      DOWN,
      EXPERT_WORDS: slot.bytes / 4,
      MATRIX_AT: (DOWN ? slot.downAt : slot.gateUpAt) / 4,
      MATRIX_ROW: rowWords(COLS),
    },
    bindings: {
      left: DOWN ? io.dout : io.dpre,
      right: DOWN ? io.act : io.x,
      counts: io.counts,
      pair_of_row: io.pairOfRow,
      routed: io.routed,
      grads: io.dexperts,
    },
    grid: () => foldGrid(ceilDiv(X * N * COLS, 64)),
  });
}

function routerWeightGrad(recorder: Recorder, io: Io, shape: LayerShape): void {
  const { M } = sizesOf(shape);
  recorder.dispatch({
    shader: 'layer/router_weight_grad',
    constants: { D: shape.hidden, M, RESIDUAL_ROWS: shape.residual ? 2 : 0 },
    bindings: { dlogits: io.dlogits, x: io.x, router_x: io.routerX, drouter: io.drouter },
    grid: () => foldGrid(ceilDiv(M * shape.hidden, 64)),
  });
}
