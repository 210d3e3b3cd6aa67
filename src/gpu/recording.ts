/**
 * GPU work as data. A `Recorder` collects steps with their pipelines and bind groups resolved once; the finished `Program` is
 * encoded again and again with another `StepShape`, creating nothing.
 */
import { InvariantError, invariant } from '../util/assert.ts';
import { bufferBytes, type BufferView } from './buffer.ts';
import type { Gpu } from './gpu.ts';
import { STEP_BYTES } from './step.ts';
import type { Constants, Imports } from './shader.ts';

/** What may change from one run of a program to the next. */
export interface StepShape {
  /** T: tokens in this step. */
  readonly tokens: number;
  /** Position of the first of them in the sequence. */
  readonly position: number;
}

export type Grid = readonly [x: number, y: number, z: number];

export interface DispatchSpec {
  /** Path under shaders/, without `.wgsl`; the entry point has the same name. */
  readonly shader: string;
  /** What this dispatch is for, as in `layer 3 attention`; defaults to the shader's path. */
  readonly label?: string;
  readonly constants: Constants;
  readonly imports?: Imports;
  /** One view for each `@group(0)` binding, by its name in the shader. */
  readonly bindings: Readonly<Record<string, BufferView>>;
  /** Workgroups; any zero skips the dispatch. */
  readonly grid: (step: StepShape) => Grid;
}

/** One dispatch of a run, as the GPU will see it. */
export interface Launch {
  readonly label: string;
  readonly shader: string;
  /** What was compiled into the shader. */
  readonly constants: Constants;
  readonly step: StepShape;
  readonly grid: Grid;
}

interface DispatchStep {
  readonly kind: 'dispatch';
  readonly label: string;
  readonly shader: string;
  readonly constants: Constants;
  readonly pipeline: Promise<GPUComputePipeline>;
  readonly group: GPUBindGroup;
  readonly usesStep: boolean;
  readonly grid: (step: StepShape) => Grid;
  compiled?: GPUComputePipeline;
}

interface CopyStep {
  readonly kind: 'copy';
  readonly label: string;
  readonly copy: (step: StepShape) => { from: BufferView; to: BufferView; bytes: number };
}

/** Steps [begin, end) of a program, by marks that its recorder gave. */
export interface StepRange {
  readonly begin?: number | undefined;
  readonly end?: number | undefined;
}

/** Workgroups beyond the per-dimension limit of 65,535 spill into y; shaders join them with `shared/fold`. */
export function foldGrid(workgroups: number, z = 1): Grid {
  const MAX = 65535;
  return workgroups <= MAX ? [workgroups, 1, z] : [MAX, Math.ceil(workgroups / MAX), z];
}

export class Recorder {
  readonly gpu: Gpu;
  readonly #step: BufferView;
  readonly #steps: (DispatchStep | CopyStep)[] = [];

  /** @param step the uniform that `shared/step` reads: see step.ts */
  constructor(gpu: Gpu, step: BufferView) {
    invariant(step.size >= STEP_BYTES, 'the step uniform is too small');
    this.gpu = gpu;
    this.#step = step;
  }

  dispatch(spec: DispatchSpec): void {
    const { device, pipelines, counters } = this.gpu;
    const label = spec.label ?? spec.shader;
    const { shader, layouts, pipeline } = pipelines.get(spec.shader, spec.constants, spec.imports ?? {});
    const own = shader.bindings.filter((b) => b.group === 0);
    const unknown = Object.keys(spec.bindings).filter((name) => !own.some((b) => b.name === name));
    if (unknown.length) throw new InvariantError(`${spec.shader} has no binding ${unknown.join(', ')}`);
    const entries = own.map((b): GPUBindGroupEntry => {
      const view = spec.bindings[b.name];
      if (!view) throw new InvariantError(`${spec.shader}: binding ${b.name} is not given`);
      return {
        binding: b.binding,
        resource: { buffer: view.buffer, offset: view.offset, size: bufferBytes(view.size) },
      };
    });
    const group = device.createBindGroup({ label, layout: layouts[0]!, entries });
    counters.bindGroupsCreated++;
    const usesStep = layouts.length > 1;
    const { constants, grid } = spec;
    this.#steps.push({
      kind: 'dispatch',
      label,
      shader: spec.shader,
      constants,
      pipeline,
      group,
      usesStep,
      grid,
    });
  }

  copy(label: string, copy: CopyStep['copy']): void {
    this.#steps.push({ kind: 'copy', label, copy });
  }

  /** A place between two steps, at which a run of the program may begin or end. */
  mark(): number {
    return this.#steps.length;
  }

  /** Waits for every pipeline to compile. */
  async finish(): Promise<Program> {
    for (const step of this.#steps) if (step.kind === 'dispatch') step.compiled = await step.pipeline;
    const group = this.gpu.device.createBindGroup({
      label: 'step',
      layout: this.gpu.pipelines.stepLayout,
      entries: [{ binding: 0, resource: { buffer: this.#step.buffer, offset: this.#step.offset, size: STEP_BYTES } }],
    });
    return new Program(this.gpu, this.#steps, group);
  }
}

export class Program {
  readonly #gpu: Gpu;
  readonly #steps: readonly (DispatchStep | CopyStep)[];
  readonly #stepGroup: GPUBindGroup;

  constructor(gpu: Gpu, steps: readonly (DispatchStep | CopyStep)[], stepGroup: GPUBindGroup) {
    this.#gpu = gpu;
    this.#steps = steps;
    this.#stepGroup = stepGroup;
  }

  /** The dispatches that `encode` would launch, in order. */
  launches(step: StepShape, { begin = 0, end = this.#steps.length }: StepRange = {}): Launch[] {
    return this.#steps.slice(begin, end).flatMap((s) => {
      if (s.kind === 'copy') return [];
      const { label, shader, constants } = s;
      const grid = s.grid(step);
      return grid.includes(0) ? [] : [{ label, shader, constants, step, grid }];
    });
  }

  /** Neighbouring dispatches share one compute pass; a copy ends it, and a timer gives each its own. */
  encode(encoder: GPUCommandEncoder, shape: StepShape, { begin = 0, end = this.#steps.length }: StepRange = {}): void {
    const { counters, timer } = this.#gpu;
    let pass: GPUComputePassEncoder | undefined;
    for (let i = begin; i < end; i++) {
      const step = this.#steps[i]!;
      if (step.kind === 'copy') {
        pass?.end();
        pass = undefined;
        const { from, to, bytes } = step.copy(shape);
        if (bytes > 0) encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, bytes);
        continue;
      }
      const [x, y, z] = step.grid(shape);
      if (x === 0 || y === 0 || z === 0) continue;
      const timestampWrites = timer?.next(step.shader);
      if (timestampWrites) pass?.end();
      if (!pass || timestampWrites) {
        pass = encoder.beginComputePass(timestampWrites && { timestampWrites });
        counters.passes++;
      }
      pass.setPipeline(step.compiled!);
      pass.setBindGroup(0, step.group);
      if (step.usesStep) pass.setBindGroup(1, this.#stepGroup);
      pass.dispatchWorkgroups(x, y, z);
      counters.dispatches++;
      if (timestampWrites) {
        pass.end();
        pass = undefined;
      }
    }
    pass?.end();
  }
}
