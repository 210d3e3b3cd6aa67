/** Compiled shaders, one per (shader, constants, imports), with errors that point at the .wgsl line. */
import { InvariantError } from '../util/assert.ts';
import type { Counters } from './gpu.ts';
import {
  entryPoint,
  expandShader,
  type Constants,
  type ExpandedShader,
  type Imports,
  type ShaderBinding,
} from './shader.ts';

export interface CompiledPipeline {
  readonly shader: ExpandedShader;
  readonly pipeline: Promise<GPUComputePipeline>;
  readonly layouts: readonly GPUBindGroupLayout[];
}

export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #counters: Counters;
  readonly #pipelines = new Map<string, CompiledPipeline>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  /** Resolve, never reject, when what is being compiled is done. */
  readonly #compiling = new Set<Promise<void>>();
  /** Shader texts by path. Tests give others: broken ones, as the negative controls want. */
  sources: Readonly<Record<string, string>>;

  constructor(device: GPUDevice, counters: Counters, sources: Readonly<Record<string, string>>) {
    this.#device = device;
    this.#counters = counters;
    this.sources = sources;
  }

  /** Resolves when nothing is being compiled; null: nothing is. */
  get settled(): Promise<unknown> | null {
    return this.#compiling.size > 0 ? Promise.all(this.#compiling) : null;
  }

  get(path: string, constants: Constants, imports: Imports): CompiledPipeline {
    const key = JSON.stringify([path, Object.entries(constants).sort(), Object.entries(imports).sort()]);
    const found = this.#pipelines.get(key);
    if (found) return found;
    const shader = expandShader(path, constants, imports, this.sources);
    const layouts = this.#layoutsOf(shader);
    const compiled: CompiledPipeline = { shader, layouts, pipeline: this.#compile(shader, constants, layouts) };
    const settled = compiled.pipeline.then(
      () => undefined,
      () => undefined, // whoever awaits it sees the error
    );
    this.#compiling.add(settled);
    void settled.then(() => this.#compiling.delete(settled));
    this.#pipelines.set(key, compiled);
    return compiled;
  }

  /** Of the step's uniform, wherever a shader reads it. */
  get stepLayout(): GPUBindGroupLayout {
    return this.#layout('step', [{ binding: 0, kind: 'uniform' }]);
  }

  #layoutsOf(shader: ExpandedShader): GPUBindGroupLayout[] {
    const groups = Math.max(0, ...shader.bindings.map((b) => b.group + 1));
    return Array.from({ length: groups }, (_, group) =>
      this.#layout(
        `${shader.path} group ${group}`,
        shader.bindings.filter((b) => b.group === group),
      ),
    );
  }

  #layout(label: string, bindings: readonly Pick<ShaderBinding, 'binding' | 'kind'>[]): GPUBindGroupLayout {
    const key = bindings.map((b) => `${b.binding}:${b.kind}`).join();
    let layout = this.#layouts.get(key);
    if (!layout) {
      layout = this.#device.createBindGroupLayout({
        label,
        entries: bindings.map((b) => ({
          binding: b.binding,
          visibility: GPUShaderStage.COMPUTE,
          buffer: { type: b.kind === 'uniform' ? 'uniform' : b.kind === 'read' ? 'read-only-storage' : 'storage' },
        })),
      });
      this.#layouts.set(key, layout);
    }
    return layout;
  }

  async #compile(
    shader: ExpandedShader,
    constants: Constants,
    layouts: GPUBindGroupLayout[],
  ): Promise<GPUComputePipeline> {
    this.#counters.pipelinesCreated++;
    const module = this.#device.createShaderModule({ label: shader.path, code: shader.code });
    try {
      return await this.#device.createComputePipelineAsync({
        label: shader.path,
        layout: this.#device.createPipelineLayout({ label: shader.path, bindGroupLayouts: layouts }),
        compute: { module, entryPoint: entryPoint(shader.path) },
      });
    } catch (cause) {
      const info = await module.getCompilationInfo();
      const source = shader.code.split('\n');
      const messages = info.messages.map((m) => {
        const at = shader.origin[m.lineNum - 1];
        return `${m.type} at shaders/${at?.file ?? shader.path}.wgsl:${at?.line ?? m.lineNum}:${m.linePos}: ${m.message}\n    ${source[m.lineNum - 1] ?? ''}`;
      });
      const text = messages.length ? messages.join('\n') : String(cause);
      throw new InvariantError(`${shader.path} does not compile with ${JSON.stringify(constants)}:\n${text}`);
    }
  }
}
