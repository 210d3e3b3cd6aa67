/** Runs the router's kernel on one case, and its twin: shared by the tests of routing and of interventions. */
import { expect } from 'vitest';
import type { NormKind, RouterConfig } from '../../../src/config/model-config.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { EXACT, type ApproximateParams } from '../../../src/gpu/step.ts';
import { interventionWords, type LayerIntervention } from '../../../src/kernels/moe/intervention.ts';
import { logitsAt, predictedAt, predictedIds, route, routedBytes } from '../../../src/kernels/moe/route.ts';
import { routerBlock } from '../../../src/kernels/moe/router_block.ts';
import { MISSING_SLOT } from '../../../src/kernels/moe/slot.ts';
import {
  route as twin,
  type Approximation,
  type Intervention,
  type Routing,
} from '../../../src/reference/moe/route.ts';
import { decodeMatrix, encodeMatrix } from '../../../src/reference/weights.ts';
import type { Layout } from '../../../src/weights/layout.ts';
import { asF32, expectClose, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';
import { routerWords } from './router.ts';

export const gpu = await openTestGpu({ defaultLimits: true });

/** Of the modules that make moe/route, the one that a mutation changes. */
export function mutatedModule(mutate: (text: string) => string): string {
  const found = Object.keys(shaderText).filter(
    (path) => path.startsWith('moe/route') && mutate(shaderText[path]!) !== shaderText[path],
  );
  expect(found, 'modules that the mutation changes').toHaveLength(1);
  return found[0]!;
}

export interface Case {
  readonly name: string;
  readonly tokens: number;
  readonly hidden: number;
  readonly experts: number;
  readonly topK: number;
  readonly router: RouterConfig;
  /** null: none. */
  readonly norm?: NormKind | null;
  readonly layout?: Layout;
  readonly sharedGate?: boolean;
  /** Of the router's weights. */
  readonly spread?: number;
  /** Mean of the logit biases. */
  readonly logitOffset?: number;
  /** Rows e and e + `ties` of the router are equal. */
  readonly ties?: number;
  readonly zeroTokens?: boolean;
  /** The next layer's block lies behind this one's, and its choice is predicted. */
  readonly predict?: boolean;
  readonly approximate?: Partial<ApproximateParams> | undefined;
  /** Which experts are not on the GPU: none, all, or a good half. Default half. */
  readonly missing?: 'none' | 'half' | 'all';
  /** Experts from this one on have no weights. */
  readonly weighted?: number;
  /** Of this layer; of the next one, whose experts are numbered backwards, where it is predicted. */
  readonly intervene?: Changes | undefined;
  readonly logits?: boolean;
  /** The router reads other tokens than the norm. */
  readonly early?: boolean;
  readonly inputScale?: number;
}

/** What is changed in the choice. */
interface Changes {
  readonly uses?: number;
  readonly mask?: readonly number[];
  readonly force?: readonly number[];
  readonly bias?: Readonly<Record<number, number>>;
}

/** What one router block holds. */
interface Router {
  readonly gamma?: Float32Array<ArrayBuffer>;
  readonly matrix: Uint32Array<ArrayBuffer>;
  readonly logitBias?: Float32Array<ArrayBuffer>;
  readonly selectionBias?: Float32Array<ArrayBuffer>;
  readonly sharedGate?: Float32Array<ArrayBuffer>;
  readonly routerGains?: Float32Array<ArrayBuffer>;
  readonly expertScale?: Float32Array<ArrayBuffer>;
  readonly second?: Float32Array<ArrayBuffer>;
}

export interface Inputs extends Router {
  readonly x: Float32Array<ArrayBuffer>;
  readonly early?: Float32Array<ArrayBuffer>;
  readonly next?: Router;
}

const layoutOf = (c: Case): Layout => c.layout ?? { kind: 'bf16' };

const rowsOf = ({ experts, router: { attends, inner } }: Case): number => inner ?? (attends ? 3 * experts : experts);

function routerOf(c: Case, seed: number): Router {
  const { hidden, experts, router } = c;
  const count = rowsOf(c);
  const rows = normals(seed + 2, count * hidden, c.spread ?? 0.3);
  const { ties } = c;
  if (ties) rows.forEach((_, i) => i >= ties * hidden && (rows[i] = rows[i - ties * hidden]!));
  return {
    ...(c.norm === null ? {} : { gamma: normals(seed + 3, c.norm === 'layer-biased' ? 2 * hidden : hidden, 0.2, 1) }),
    matrix: encodeMatrix(rows, layoutOf(c), { rows: count, cols: hidden }),
    ...(router.logitBias ? { logitBias: normals(seed + 4, experts, 1, c.logitOffset) } : {}),
    ...(router.selectionBias ? { selectionBias: normals(seed + 5, experts, 0.4, -0.6) } : {}),
    ...(c.sharedGate ? { sharedGate: normals(seed + 6, hidden, 0.3) } : {}),
    ...(router.gains ? { routerGains: normals(seed + 7, hidden, 0.2, 1) } : {}),
    ...(router.expertScale ? { expertScale: normals(seed + 8, experts, 0.3, 1) } : {}),
    ...(router.inner ? { second: normals(seed + 20, experts * router.inner, 0.3) } : {}),
  };
}

export const inputsOf = (c: Case): Inputs => ({
  x: normals(1, c.tokens * c.hidden, c.zeroTokens ? 0 : 2),
  ...(c.early ? { early: normals(9, c.tokens * c.hidden, 2) } : {}),
  ...routerOf(c, 0),
  ...(c.predict ? { next: routerOf(c, 10) } : {}),
});

interface Found extends Routing {
  /** [T, predictedIds]; empty without `predict`. */
  readonly predicted: Uint32Array;
}

/** Of this layer, or of the one that is predicted. */
export function interventionOf(c: Case, isNext = false): LayerIntervention | undefined {
  if (!c.intervene) return undefined;
  const { uses = c.topK, mask = [], force = [], bias = {} } = c.intervene;
  const rules = new Float64Array(c.experts);
  for (const [e, value] of Object.entries(bias)) rules[Number(e)] = value;
  for (const e of mask) rules[e] = -Infinity;
  for (const e of force) rules[e] = Infinity;
  return { uses, rules: isNext ? rules.reverse() : rules };
}

export const interventions = (c: Case, changes = interventionOf): Uint32Array<ArrayBuffer> =>
  Uint32Array.from(
    [false, ...(c.predict ? [true] : [])].flatMap((isNext) => [
      ...interventionWords(c.experts, changes(c, isNext) ?? null),
    ]),
  );

const isMissing = ({ missing = 'half' }: Case, e: number): boolean =>
  missing === 'all' || (missing === 'half' && (e * 5) % 7 < 4);

const slotTable = (c: Case): Uint32Array<ArrayBuffer> =>
  Uint32Array.from({ length: c.experts }, (_, e) => (isMissing(c, e) ? MISSING_SLOT : (e * 3) % 5));

const predictedOf = (c: Case): number => (c.predict ? predictedIds(c.topK, c.experts) : 0);

/** @param changes the words of `interventions`, when the shader that reads them is to run */
export async function run(
  c: Case,
  inputs: Inputs,
  changes = c.intervene ? interventions(c) : undefined,
): Promise<Found> {
  const { name, tokens, hidden, experts, topK, predict = false, logits = false, inputScale = 1 } = c;
  const block = routerBlock({
    ...c.router,
    norm: c.norm !== null,
    normBias: c.norm === 'layer-biased',
    hidden,
    experts,
    layout: layoutOf(c),
    sharedGate: c.sharedGate ?? false,
    routerGains: c.router.gains ?? false,
    expertScale: c.router.expertScale ?? false,
  });
  const only = c.weighted === undefined ? {} : { weighted: c.weighted };
  const blocks = [inputs, ...(inputs.next ? [inputs.next] : [])].map((r) => routerWords(block, r.matrix, r));
  const got = await runKernel(gpu, {
    inputs: {
      x: inputs.x,
      ...(inputs.early ? { early: inputs.early } : {}),
      router: Uint32Array.from(blocks.flatMap((words) => [...words])),
      ...(c.approximate ? { slotTable: slotTable(c) } : {}),
      ...(changes ? { interventions: changes } : {}),
    },
    outputs: {
      normed: tokens * hidden,
      routed: routedBytes(tokens, topK, predictedOf(c), logits ? experts : 0) / 4,
      ...(c.sharedGate ? { sharedWeight: tokens } : {}),
    },
    step: { tokens, position: 0, approximate: { ...EXACT, ...c.approximate } },
    record: (r, v) =>
      route(
        r,
        name,
        {
          x: v.x!,
          ...(v.early ? { early: v.early } : {}),
          router: v.router!,
          normed: v.normed!,
          routed: v.routed!,
          ...(c.sharedGate ? { sharedWeight: v.sharedWeight! } : {}),
          ...(c.approximate ? { slotTable: v.slotTable! } : {}),
          ...(changes ? { interventions: v.interventions! } : {}),
        },
        {
          ...{ block, topK, router: c.router, ...(c.norm ? { norm: c.norm } : {}), eps: 1e-5 },
          ...{ predict, logits, inputScale, ...only },
        },
      ),
  });
  const part = (offset: number): Uint32Array<ArrayBuffer> =>
    Uint32Array.from({ length: tokens * topK }, (_, i) => {
      const t = Math.floor(i / topK);
      return got.routed![t * 2 * topK + offset + (i % topK)]!;
    });
  return {
    normed: Float64Array.from(asF32(got.normed!)),
    ids: part(0),
    weights: Float64Array.from(asF32(part(topK))),
    sharedWeight: Float64Array.from(got.sharedWeight ? asF32(got.sharedWeight) : []),
    predicted: got.routed!.subarray(predictedAt(tokens, topK) / 4, logitsAt(tokens, topK, predictedOf(c)) / 4),
    logits: Float64Array.from(asF32(got.routed!.slice(logitsAt(tokens, topK, predictedOf(c)) / 4))),
  };
}

function expected(c: Case, inputs: Inputs): Found {
  const shape = { rows: rowsOf(c), cols: c.hidden };
  const by = (
    { matrix, ...vectors }: Router & Pick<Inputs, 'early'>,
    topK: number,
    changed: { approximate?: Approximation | undefined; intervention?: Intervention | undefined },
  ): Routing =>
    twin(
      { ...vectors, x: inputs.x, router: decodeMatrix(matrix, layoutOf(c), shape) },
      { ...c, norm: c.norm ?? undefined, topK, eps: 1e-5, approximate: undefined, ...changed },
    );
  const { next, ...own } = inputs;
  const options = c.approximate && { ...EXACT, ...c.approximate, slotTable: slotTable(c), weighted: c.weighted };
  const found = by(own, c.topK, { approximate: options, intervention: interventionOf(c) });
  const ahead = interventionOf(c, true);
  const beyond = predictedOf(c) - c.topK;
  const likely = { intervention: ahead && { ...ahead, uses: ahead.uses + beyond } };
  return {
    ...found,
    logits: c.logits ? found.logits : new Float64Array(),
    predicted: next ? by(c.early ? { ...next, early: inputs.x } : next, predictedOf(c), likely).ids : new Uint32Array(),
  };
}

export async function check(c: Case): Promise<void> {
  const inputs = inputsOf(c);
  const [got, want] = [await run(c, inputs), expected(c, inputs)];
  expectClose(got.normed, want.normed, 5e-6, `${c.name} normed`);
  expect([...got.ids]).toEqual([...want.ids]);
  expect([...got.predicted]).toEqual([...want.predicted]);
  // Logits of up to 30 with errors of some 1e-7 each go through an exponential.
  expectClose(got.weights, want.weights, 1e-4, `${c.name} weights`);
  expectClose(got.logits, want.logits, 1e-5, `${c.name} logits`);
  expectClose(got.sharedWeight, want.sharedWeight, 5e-6, `${c.name} shared weight`);
}
