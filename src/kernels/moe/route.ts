import type { RouterConfig } from '../../config/model-config.ts';
import type { BufferView } from '../../gpu/buffer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';
import type { Constants } from '../../gpu/shader.ts';
import { invariant } from '../../util/assert.ts';
import { alignUp, ceilDiv } from '../../util/math.ts';
import { CHUNK, weightFormat } from '../../weights/layout.ts';
import type { DeviceMatrix } from '../matrix.ts';

export interface RouteIo {
  /** The residual stream. */
  readonly x: BufferView; // [T, D]
  readonly gamma: BufferView; // [D]
  readonly router: DeviceMatrix; // [E, D]
  readonly logitBias?: BufferView; // [E]
  readonly selectionBias?: BufferView; // [E]
  readonly sharedGate?: BufferView; // [D]
  readonly normed: BufferView; // [T, D] out
  /** K ids by descending selection key, then the bits of their K f32 weights. */
  readonly routed: BufferView; // [T, 2K] out
  /** sigmoid(sharedGate . normed); comes with `sharedGate`. */
  readonly sharedWeight?: BufferView; // [T] out
}

export interface RouteShape {
  readonly hidden: number; // D
  readonly experts: number; // E, at most 512
  readonly topK: number; // K, at most 32
  readonly router: RouterConfig;
  /** Of the norm. */
  readonly eps: number;
}

export const MAX_EXPERTS = 512;
export const MAX_TOP_K = 32;

/** Default limit of WebGPU. */
const STORAGE_BUFFERS = 8;
/** Lanes that share a router row, in the shader. */
const PARTS = 4;
/** Chunks of a token that workgroup memory holds at a time, at most: 2 KiB. */
const MOST_CHUNKS = 16;
/** Weights of a router above which one workgroup of 64 would take longer than the launch: 256 lanes then. */
const SMALL_ROUTER = 32768;

/** RMS norm, router logits, scores, selection, weights: all that comes before the experts, in one dispatch. */
export function route(recorder: Recorder, label: string, io: RouteIo, shape: RouteShape): void {
  const { x, gamma, router, logitBias, selectionBias, sharedGate, normed, routed, sharedWeight } = io;
  check(label, io, shape);
  const format = weightFormat(router.layout, router);
  const scaled = isScaled(router);
  const bindings = {
    values: router.view,
    ...(scaled ? { scales: router.view } : {}),
    x,
    gamma,
    normed,
    routed,
    ...(logitBias ? { logit_bias: logitBias } : {}),
    ...(selectionBias ? { selection_bias: selectionBias } : {}),
    ...(sharedGate && sharedWeight ? { shared_gate: sharedGate, shared_weight: sharedWeight } : {}),
  };
  const count = Object.keys(bindings).length;
  invariant(count <= STORAGE_BUFFERS, `${label}: ${count} buffers; a router without scales would save one`);
  recorder.dispatch({
    shader: 'moe/route',
    label,
    constants: {
      ...format.constants,
      ...sizes(shape),
      ...routerConstants(shape.router),
      SCALED: scaled,
      LOGIT_BIAS: logitBias !== undefined,
      SELECTION_BIAS: selectionBias !== undefined,
      SHARED_GATE: sharedGate !== undefined,
    },
    imports: format.imports,
    bindings,
    grid: ({ tokens }) => foldGrid(tokens),
  });
}

const isScaled = ({ layout }: DeviceMatrix): boolean => layout.kind === 'int' || layout.kind === 'mxfp4';

function check(label: string, io: RouteIo, { hidden, experts, topK, router }: RouteShape): void {
  invariant(
    io.router.rows === experts && io.router.cols === hidden,
    `${label}: the router is not [${experts}, ${hidden}]`,
  );
  invariant(experts <= MAX_EXPERTS && topK <= Math.min(experts, MAX_TOP_K), `${label}: top ${topK} of ${experts}`);
  invariant(!io.logitBias === !router.logitBias, `${label}: logit bias`);
  invariant(!io.selectionBias === !router.selectionBias, `${label}: selection bias`);
  invariant(!io.sharedGate === !io.sharedWeight, `${label}: the shared gate and its output come together`);
  if (!router.groups) return;
  const { count, keep, rank } = router.groups;
  const smallest = rank === 'top2-sum' ? 2 : 1;
  invariant(experts % count === 0 && experts / count >= smallest, `${label}: ${experts} experts in ${count} groups`);
  invariant(keep >= 1 && keep <= count, `${label}: keeps ${keep} of ${count} groups`);
}

function sizes({ hidden, experts, topK, eps }: RouteShape): Constants {
  const chunks = ceilDiv(hidden, CHUNK);
  const blocks = ceilDiv(chunks, MOST_CHUNKS);
  return {
    WG: experts * hidden > SMALL_ROUTER ? 256 : 64,
    D: hidden,
    E: experts,
    TOP_K: topK,
    EPS: eps,
    BLOCKS: blocks,
    BLOCK_CHUNKS: alignUp(ceilDiv(chunks, blocks), PARTS),
  };
}

function routerConstants({ score, groups, renormalize, scale }: RouterConfig): Constants {
  return {
    SCORE_SOFTMAX: score === 'softmax',
    SCORE_SIGMOID: score === 'sigmoid',
    SCORE_SQRT_SOFTPLUS: score === 'sqrt-softplus',
    SCORE_SOFTMAX_CHOSEN: score === 'softmax-chosen',
    SCALE: scale,
    RENORMALIZE: renormalize !== null,
    ...(renormalize ? { RENORMALIZE_EPS: renormalize.epsilon } : {}),
    GROUPS: groups !== null,
    ...(groups
      ? {
          GROUP_COUNT: groups.count,
          GROUP_KEEP: groups.keep,
          GROUP_TOP2: groups.rank === 'top2-sum',
          DROPPED_ZERO: groups.dropped === 'zero',
        }
      : {}),
  };
}
