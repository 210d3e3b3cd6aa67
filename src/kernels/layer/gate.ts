/** What a router says of a token: logits, noise, scores, choices; and the sums that losses need. */
import type { LayerShape } from '../../config/moe-layer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';
import { ceilDiv } from '../../util/math.ts';
import { scoreFlags, sizesOf, type LayerViews } from './views.ts';

/** logits, gates and facts of every token. */
export function gate(recorder: Recorder, io: LayerViews, shape: LayerShape): void {
  if (shape.noise === 'jitter') jitter(recorder, io, shape);
  logits(recorder, io, shape);
  scores(recorder, io, shape);
}

function jitter(recorder: Recorder, io: LayerViews, { hidden, jitter: reach }: LayerShape): void {
  recorder.dispatch({
    shader: 'layer/jitter',
    constants: { D: hidden, JITTER: reach },
    bindings: { x: io.x, router_x: io.routerX, u_gate: io.gate },
    grid: ({ tokens }) => foldGrid(ceilDiv(tokens * hidden, 64)),
  });
}

function logits(recorder: Recorder, io: LayerViews, shape: LayerShape): void {
  const { M } = sizesOf(shape);
  recorder.dispatch({
    shader: 'layer/logits',
    constants: { D: shape.hidden, M, RESIDUAL_ROWS: shape.residual ? 2 : 0 },
    bindings: { x: io.x, router_x: io.routerX, router: io.router, out: io.logits },
    grid: ({ tokens }) => foldGrid(ceilDiv(tokens * M, 64)),
  });
}

function scores(recorder: Recorder, io: LayerViews, shape: LayerShape): void {
  const { G, M, PLANES } = sizesOf(shape);
  const NOISY = shape.noise === 'noisy-top-k';
  recorder.dispatch({
    shader: 'layer/scores',
    constants: { G, M, PLANES, NOISY, ...scoreFlags(shape) },
    bindings: { logits: io.logits, gates: io.gates, facts: io.facts, ...(NOISY ? { u_gate: io.gate } : {}) },
    grid: ({ tokens }) => foldGrid(ceilDiv(tokens, 64)),
  });
}

/** The K choices of every token, and who is kept first. */
export function choose(recorder: Recorder, io: LayerViews, shape: LayerShape): void {
  const { G, M, PLANES } = sizesOf(shape);
  const { groups, topK: K } = shape;
  const NOISY = shape.noise === 'noisy-top-k';
  const HASH = shape.chooses === 'hash';
  const ALL = shape.chooses === 'experts';
  const SCORES = ALL || shape.chooses === 'scores';
  recorder.dispatch({
    shader: 'layer/choose',
    constants: {
      G,
      K,
      PLANES,
      NOISY,
      HASH,
      ...(NOISY ? { M } : {}),
      RANDOM: shape.chooses === 'random',
      SCORES,
      ALL,
      ...(SCORES ? { GUMBEL: shape.noise === 'gumbel' } : {}),
      BY_SCORE: shape.fill === 'scores',
      ...(shape.fill === 'scores' ? {} : { BY_LOT: shape.fill === 'lot' }),
      ...(ALL ? {} : { SECOND_SAMPLED: shape.secondSampled, SECOND_RANDOM: shape.secondRandom }),
      GROUPS: groups !== null,
      ...(groups ? { GROUP_COUNT: groups.count, GROUP_KEEP: groups.keep, GROUP_TOP2: groups.rank === 'top2-sum' } : {}),
    },
    bindings: {
      gates: io.gates,
      bias: io.bias,
      chosen: io.chosen,
      priority: io.priority,
      keys: io.keys,
      u_gate: io.gate,
      ...(NOISY ? { logits: io.logits, facts: io.facts } : {}),
      ...(HASH ? { token_ids: io.tokenIds } : {}),
    },
    grid: ({ tokens }) => foldGrid(ceilDiv(tokens, 64)),
  });
}

/** The shares of every choice (and, with noisy top-k, its load), sequence by sequence. */
export function columnSums(recorder: Recorder, io: LayerViews, shape: LayerShape): void {
  const { G, PLANES } = sizesOf(shape);
  recorder.dispatch({
    shader: 'layer/column_sums',
    constants: { G, PLANES },
    bindings: { gates: io.gates, sums: io.sums, u_gate: io.gate },
    // A run may cut its tokens into that many sequences; lanes beyond its own leave at once.
    grid: ({ tokens }) => foldGrid(ceilDiv(tokens * (PLANES - 2) * G, 64)),
  });
}
