/**
 * The cost model against the kernels themselves: every read of weights is marked by the GPU as it happens, and the marks are counted. Weights are
 * read in words of 16 bytes, scales, zero points and expert biases in words of 4.
 */
import { describe, expect, it } from 'vitest';
import type { BufferView } from '../../../src/gpu/buffer.ts';
import type { DispatchSpec, Recorder } from '../../../src/gpu/recording.ts';
import { PipelineCache } from '../../../src/gpu/pipeline.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { countedTraffic } from '../../../src/engine/cost/traffic.ts';
import { costOf } from '../../../src/kernels/costs.ts';
import { embedRows } from '../../../src/kernels/embed/embed_rows.ts';
import { linear } from '../../../src/kernels/linear/linear.ts';
import { expertDown, expertDownDecode } from '../../../src/kernels/moe/expert_down.ts';
import { expertUp, expertUpDecode } from '../../../src/kernels/moe/expert_up.ts';
import { tileBound } from '../../../src/kernels/moe/group.ts';
import { slotLayout } from '../../../src/moe/slots.ts';
import { group as groupTwin } from '../../../src/reference/moe/group.ts';
import { encodeMatrix } from '../../../src/reference/weights.ts';
import { layoutName, type Layout } from '../../../src/weights/layout.ts';
import { runKernel, type Words } from '../../support/conformance.ts';
import { openTestGpu, pretend } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';
import { chooseExperts, makeArena, routedWords } from '../moe/arena.ts';

/** Marks of 16-byte words come first, then those of 4-byte words. */
const MARKS = 2 ** 15;
const MARKING = `
@group(0) @binding(20) var<storage, read_write> marks: array<atomic<u32>>;
fn mark_values(at: u32) -> u32 { atomicStore(&marks[at], 1u); return at; }
fn mark_scales(at: u32) -> u32 { atomicStore(&marks[${MARKS}u + at], 1u); return at; }
`;

/** `name[index]` becomes `name[mark_name(index)]`, wherever it is read. */
function marked(text: string, name: 'values' | 'scales'): string {
  const [head, ...reads] = text.split(new RegExp(`(?<!\\w)${name}\\[`));
  return reads.reduce((out, rest) => {
    let depth = 1;
    let end = 0;
    for (; depth > 0; end++) depth += rest[end] === '[' ? 1 : rest[end] === ']' ? -1 : 0;
    return `${out}${name}[mark_${name}(${rest.slice(0, end - 1)})${rest.slice(end - 1)}`;
  }, head!);
}

const gpu = await openTestGpu();
const marking = new PipelineCache(
  gpu.device,
  gpu.counters,
  Object.fromEntries(
    Object.entries(shaderText).map(([path, text]) => {
      const code = marked(marked(text, 'values'), 'scales');
      return [path, /^@compute/m.test(text) ? `${code}\n${MARKING}` : code];
    }),
  ),
);

const [onGpu, onSoftware] = [false, true].map((software) =>
  Object.assign(pretend(gpu, software), { pipelines: marking }),
);

/** Bytes of weights that a kernel reads at least once, and what the cost model makes of the same launch. */
async function touched(run: {
  readonly software: boolean;
  readonly tokens: number;
  readonly inputs: Readonly<Record<string, Words>>;
  readonly outputs: number;
  readonly counts?: ArrayLike<number>;
  readonly record: (recorder: Recorder, views: Readonly<Record<string, BufferView>>) => void;
}): Promise<{ readonly read: number; readonly said: number; readonly marks: Uint32Array }> {
  let said = NaN;
  const step = { tokens: run.tokens, position: 0 };
  const { marks } = await runKernel(run.software ? onSoftware! : onGpu!, {
    inputs: run.inputs,
    outputs: { out: run.outputs, marks: new Uint32Array(2 * MARKS) },
    step,
    record: (recorder, views) => {
      const dispatch = (spec: DispatchSpec): void => {
        const { shader, constants } = spec;
        const traffic = run.counts ? countedTraffic([run.counts]) : null;
        said = costOf({ label: 'kernel', shader, constants, step, grid: spec.grid(step) }, traffic).weightBytes;
        recorder.dispatch({ ...spec, bindings: { ...spec.bindings, marks: views.marks! } });
      };
      run.record(Object.create(recorder, { dispatch: { value: dispatch } }) as Recorder, views);
    },
  });
  const count = (from: number): number => marks!.subarray(from, from + MARKS).reduce((a, b) => a + b, 0);
  return { read: 16 * count(0) + 4 * count(MARKS), said, marks: marks! };
}

const BF16: Layout = { kind: 'bf16' };
const INT4: Layout = { kind: 'int', bits: 4, group: 64, scale: 'bf16', zeros: true };
const INT8: Layout = { kind: 'int', bits: 8, group: 32, scale: 'f16', zeros: false };
const LAYOUTS: Layout[] = [BF16, INT4, INT8, { kind: 'mxfp4' }];

describe.each(LAYOUTS.map((layout) => [layoutName(layout), layout] as const))('%s', (_, layout) => {
  const shape = { rows: 67, cols: 101 };
  const matrix = encodeMatrix(normals(1, shape.rows * shape.cols), layout, shape);
  const x = normals(2, 5 * shape.cols);

  // The prefill kernel for software takes seconds to compile with its marks: once is enough.
  it.each([
    ['decode', false],
    ['decode', true],
    ['prefill', false],
    ...(layout === INT4 ? ([['prefill', true]] as const) : []),
  ] as const)('a matrix, %s, software: %s', async (phase, software) => {
    const { read, said } = await touched({
      software,
      tokens: 5,
      inputs: { x, matrix },
      outputs: 5 * shape.rows,
      record: (r, v) =>
        linear(r, 'linear', { x: v.x!, weights: { ...shape, layout, view: v.matrix! }, out: v.out! }, { phase }),
    });
    expect(read).toBe(said);
    expect(read).toBeGreaterThan(0);
  });

  it('an embedding: the rows of its tokens', async () => {
    const { read, said } = await touched({
      software: false,
      tokens: 2,
      inputs: { ids: Uint32Array.of(66, 3), matrix },
      outputs: 2 * shape.cols,
      record: (r, v) =>
        embedRows(r, 'embed', { ids: v.ids!, weights: { ...shape, layout, view: v.matrix! }, out: v.out! }),
    });
    expect(read).toBe(said);
  });
});

describe('experts', () => {
  // The prefill kernel for software takes four f at a time, and reads biases beyond the last only to drop them: not here.
  const [experts, topK, hidden, width] = [7, 2, 64, 36];
  const slot = slotLayout({ hidden, width, gateUp: INT8, down: INT4, bias: true });
  const arena = makeArena(slot, experts);
  const shape = { experts, topK, slot, activation: { kind: 'silu' } as const, tileRows: 16 as const };

  const given = (tokens: number) => {
    const ids = chooseExperts(3, tokens, experts, topK);
    const grouping = groupTwin(ids, experts, 16);
    const tiles = new Uint32Array(4 * (1 + tileBound(ids.length, experts, 16)));
    tiles.set([grouping.tiles.length]);
    grouping.tiles.forEach((tile, i) => tiles.set(tile, 4 * (i + 1)));
    const pairs = ids.length;
    const rows = {
      x: normals(4, tokens * hidden),
      act: normals(5, pairs * width),
      residual: normals(6, tokens * hidden),
    };
    const home = { arena: arena.words, slotTable: arena.slotTable };
    const routed = routedWords(ids, normals(7, pairs), topK);
    return { ids, counts: grouping.counts, inputs: { ...rows, ...home, routed, tiles, pairOfRow: grouping.pairOfRow } };
  };
  const homeOf = (v: Readonly<Record<string, BufferView>>) => ({ arena: v.arena!, slotTable: v.slotTable! });

  /** No word of a slot whose expert nobody chose. */
  function expectOthersUntouched(marks: Uint32Array, counts: ArrayLike<number>): void {
    for (let e = 0; e < experts; e++) {
      if (counts[e]! > 0) continue;
      const [begin, end] = [arena.slotTable[e]! * slot.bytes, (arena.slotTable[e]! + 1) * slot.bytes];
      expect(marks.subarray(begin / 16, end / 16).every((m) => m === 0)).toBe(true);
      expect(marks.subarray(MARKS + begin / 4, MARKS + end / 4).every((m) => m === 0)).toBe(true);
    }
  }

  it.each([
    ['decode', false, 1],
    ['decode', true, 1],
    ['prefill', false, 3],
    ['prefill', true, 3],
  ] as const)('%s, software: %s: the chosen ones whole, of the others nothing', async (phase, software, tokens) => {
    const { ids, counts, inputs } = given(tokens);
    const { length: pairs } = ids;
    const common = { software, tokens, inputs, counts };
    const up = await touched({
      ...common,
      outputs: pairs * width,
      record: (r, v) =>
        phase === 'decode'
          ? expertUpDecode(r, 'up', { ...homeOf(v), x: v.x!, routed: v.routed!, act: v.out! }, shape)
          : expertUp(r, 'up', { ...homeOf(v), x: v.x!, pairOfRow: v.pairOfRow!, tiles: v.tiles!, act: v.out! }, shape),
    });
    const down = await touched({
      ...common,
      outputs: (phase === 'decode' ? tokens : pairs) * hidden,
      record: (r, v) => {
        const home = { ...homeOf(v), act: v.act! };
        if (phase === 'prefill') return expertDown(r, 'down', { ...home, tiles: v.tiles!, y: v.out! }, shape);
        return expertDownDecode(r, 'down', { ...home, routed: v.routed!, residual: v.residual!, out: v.out! }, shape);
      },
    });
    const unchosen = Array.from(counts).filter((n) => n === 0).length;
    expect(unchosen).toBeGreaterThan(0);
    for (const { read, said, marks } of [up, down]) {
      expect(read).toBe(said);
      expectOthersUntouched(marks, counts);
    }
  });
});
