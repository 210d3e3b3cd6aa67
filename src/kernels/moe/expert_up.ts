import type { Activation } from '../../config/model-config.ts';
import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import { invariant } from '../../util/assert.ts';
import { ceilDiv } from '../../util/math.ts';
import { valueRows } from '../../config/activation.ts';
import { activationConstants } from '../activation.ts';
import { inputUnit } from '../linear/x_rows.ts';
import { besideMatrix, besideTurns, type Beside } from './beside.ts';
import { matvecShape } from '../linear/matvec_shape.ts';
import { hasSubgroups, productsImport, tileConstants } from '../linear/products.ts';
import { tileBound, type TileRows } from './group.ts';
import {
  besideTile,
  expertMatrix,
  gateUpShape,
  partsOf,
  TILE_COLUMNS,
  tileKernel,
  type ExpertHome,
  type SlotLayout,
} from './slot.ts';

export interface ExpertUpShape {
  readonly experts: number; // E
  readonly topK: number; // K
  readonly slot: SlotLayout;
  readonly activation: Activation;
  /** Leaves the products as they are, [P, 2F]: gates, then ups; without gates [P, F]. Those of a double gate always are left, [P, 3F]. Default false. */
  readonly raw?: boolean;
  /** Not on a software adapter in prefill. */
  readonly beside?: Beside;
}

export interface ExpertUpIo extends ExpertHome {
  readonly x: BufferView; // [T, D]
  readonly pairOfRow: BufferView; // [P]
  readonly tiles: BufferView; // [1 + bound, 4]
  readonly act: BufferView; // [P, F] out, in row order; with `beside`, [T, Fs] from `actAt` on
}

function expectAlike(label: string, { slot, activation }: ExpertUpShape): void {
  const { rows } = gateUpShape(slot);
  invariant((slot.valueRows ?? 2) === valueRows(activation), `${label}: slots of another kind than the activation`);
  invariant(rows % 2 === 0, `${label}: rows come in pairs, got ${rows}`);
}

/** act = activate(gate x + bias, up x + bias) of every row, tile by tile. Rows of experts without a slot keep what they hold: waves of experts fill them one after the other. */
export function expertUp(
  recorder: Recorder,
  label: string,
  io: ExpertUpIo,
  shape: ExpertUpShape & { readonly tileRows: TileRows },
): void {
  const { experts, topK, slot, activation, raw = false, tileRows } = shape;
  const software = recorder.gpu.facts.kernels === 'software';
  const { constants, imports, bindings } = expertMatrix('gateUp', slot, io, { software });
  const { rows } = gateUpShape(slot);
  expectAlike(label, shape);
  const { beside } = shape;
  const arithmetic = tileConstants(slot.gateUp, beside?.gateUp, recorder.gpu.facts);
  const kernel = tileKernel('moe/expert_up', rows, { tileRows, software, arithmetic });
  invariant(!beside || !software, `${label}: the expert beside has its own dispatches on a software adapter`);
  const more = software ? null : besideMatrix(beside, 'gateUp', inputUnit(slot.hidden));
  const turns = beside ? besideTurns(beside.gateUp.rows, rows, TILE_COLUMNS) : 0;
  recorder.dispatch({
    shader: kernel.shader,
    label,
    constants: {
      ...constants,
      ...kernel.constants,
      ...activationConstants(raw ? { kind: 'none' } : activation),
      ...(software ? {} : { INTERLEAVED: true }),
      ...more?.constants,
      ...(beside && { ...besideTile(beside, 'gateUp', tileRows, arithmetic), E: experts, BESIDE_Y: turns }),
      ...(beside && { BESIDE_F: beside.gateUp.rows / 2, BESIDE_AT: beside.actAt }),
      TOP_K: topK,
    },
    imports: { ...imports, ...more?.imports },
    bindings: { ...bindings, ...more?.bindings, x: io.x, pair_of_row: io.pairOfRow, tiles: io.tiles, act: io.act },
    grid: ({ tokens }) => kernel.grid(tileBound(tokens * topK, experts, tileRows) + turns * ceilDiv(tokens, tileRows)),
  });
}

export interface ExpertUpDecodeIo extends ExpertHome {
  readonly x: BufferView; // [T, D]
  readonly routed: BufferView; // [T, 2K]: ids, then weights
  readonly act: BufferView; // [T * K, F] out, in pair order; with `beside`, [T, Fs] from `actAt` on
}

/** The same without grouping, every pair by itself: for a few tokens. */
export function expertUpDecode(recorder: Recorder, label: string, io: ExpertUpDecodeIo, shape: ExpertUpShape): void {
  const { topK, slot, activation, raw = false, beside } = shape;
  const { rows, cols: hidden } = gateUpShape(slot);
  const pairs = rows / 2;
  expectAlike(label, shape);
  const { facts } = recorder.gpu;
  const software = facts.kernels === 'software';
  const { constants, imports, bindings } = expertMatrix('gateUp', slot, io, { software });
  const lanes = software ? 1 : matvecShape({ rows: rows * topK, cols: hidden }).lanes;
  const parts = partsOf(lanes, hidden);
  const more = besideMatrix(beside, 'gateUp', inputUnit(hidden), facts);
  const turns = beside ? besideTurns(beside.gateUp.rows / 2, pairs, 64 / parts) : 0;
  recorder.dispatch({
    shader: 'moe/expert_up_decode',
    label,
    constants: {
      ...constants,
      ...more.constants,
      ...activationConstants(raw ? { kind: 'none' } : activation),
      ...(beside && { BESIDE_F: beside.gateUp.rows / 2, BESIDE_AT: beside.actAt, BESIDE_Y: turns }),
      ...(beside && { BESIDE_GATED: beside.weight !== undefined }),
      F: pairs,
      TOP_K: topK,
      PARTS: parts,
      SUBGROUPS: hasSubgroups(facts),
    },
    imports: { ...imports, ...more.imports, products: productsImport(slot.gateUp, facts, 2) },
    bindings: {
      ...bindings,
      ...more.bindings,
      x: io.x,
      routed: io.routed,
      act: io.act,
      ...(beside?.weight && { shared_weight: beside.weight }),
    },
    grid: ({ tokens }) => [ceilDiv(pairs, 64 / parts), tokens * (topK + turns), 1],
  });
}
