/** Finds the weights of a model in its checkpoint by their names, checks their shapes, and says how they go to the GPU. */
import type { ModelConfig } from '../../config/model-config.ts';
import type { Json } from '../../config/read.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../errors.ts';
import type { JoinNames, MatrixName, TensorNames } from '../../families/family.ts';
import { invariant } from '../../util/assert.ts';
import type { Adapter } from '../../weights/adapters/lora.ts';
import type { Checkpoint } from '../../weights/checkpoint.ts';
import { findExpertMatrix, findMatrix, findTensor, findVector } from '../../weights/formats/index.ts';
import { plainTap } from '../../weights/formats/plain.ts';
import { layoutName, sameLayout, type MatrixShape } from '../../weights/layout.ts';
import { rowsOf, type PublishedMatrix } from '../../weights/matrix.ts';
import { targetLayout, type MatrixRole, type Precision } from '../precision.ts';
import { partsOf, refuseTooLarge, type Rows } from './parts.ts';
import type { MatrixPart, MatrixSpec, VectorSpec } from './specs.ts';

export interface DescribeInput {
  readonly config: ModelConfig;
  readonly names: TensorNames;
  readonly checkpoint: Checkpoint;
  readonly quantization: Json | null;
  /** What is added to the checkpoint's matrices. */
  readonly adapter?: Adapter | null;
  readonly precision: Precision;
  /** maxStorageBufferBindingSize: larger matrices are split by rows. */
  readonly bindingBytes: number;
}

/** For messages. */
export const label = (name: MatrixName): string =>
  typeof name === 'string' ? name : `${name.of}[${name.first}..${name.first + name.rows}]`;

export class WeightFinder {
  readonly input: DescribeInput;

  constructor(input: DescribeInput) {
    this.input = input;
  }

  published(name: MatrixName, shape: MatrixShape): PublishedMatrix {
    if (typeof name !== 'string') {
      invariant(name.rows === shape.rows, `${label(name)}: as many rows as the config says`);
      return rowsOf(this.published(name.of, { rows: name.total, cols: shape.cols }), name.first, name.rows);
    }
    const found = findMatrix(this.input.checkpoint, this.input.quantization, name, shape);
    if (!found)
      throw new InvalidCheckpoint('missing-tensor', `The checkpoint has no weights for ${name}`, { tensor: name });
    return this.adapted(found);
  }

  expertMatrix(name: string, e: number, shape: MatrixShape & { readonly experts: number }): PublishedMatrix {
    const found = findExpertMatrix(this.input.checkpoint, this.input.quantization, name, e, shape);
    if (!found)
      throw new InvalidCheckpoint('missing-tensor', `The checkpoint has no weights for ${name}`, { tensor: name });
    return found;
  }

  /** Of a convolution over two tokens: see `plainTap`. */
  tap(name: string, tap: 0 | 1, shape: MatrixShape): MatrixSpec {
    const found = plainTap(this.input.checkpoint, name, tap, shape);
    if (!found)
      throw new InvalidCheckpoint('missing-tensor', `The checkpoint has no weights for ${name}`, { tensor: name });
    return this.placed(found.name, [[found, 'linear']]);
  }

  adapted(matrix: PublishedMatrix): PublishedMatrix {
    return this.input.adapter?.merge(matrix) ?? matrix;
  }

  /** @param unit rows that stay together where a matrix is cut */
  matrix(name: string, shape: MatrixShape, role: MatrixRole, unit = 1): MatrixSpec {
    return this.placed(name, [[this.published(name, shape), role]], unit);
  }

  /** Matrices with the same columns, one below the other. */
  stacked(label: string, wanted: readonly (readonly [MatrixName, MatrixShape])[], role: MatrixRole): MatrixSpec {
    return this.placed(
      label,
      wanted.map(([name, shape]) => [this.published(name, shape), role]),
    );
  }

  /** The same for matrices that were found. */
  placed(label: string, sources: readonly (readonly [PublishedMatrix, MatrixRole])[], unit = 1): MatrixSpec {
    let target = 0;
    const rows = sources.map(([source, role]): Rows => {
      const at = target;
      target += source.rows;
      return { source, target: at, stride: 1, layout: targetLayout(source.layout, role, this.input.precision) };
    });
    return {
      label,
      rows: target,
      cols: sources[0]![0].cols,
      parts: partsOf(label, rows, unit, this.input.bindingBytes),
    };
  }

  interleaved(gate: MatrixName, up: MatrixName, shape: MatrixShape): MatrixSpec {
    const name = `${label(gate)} + up`;
    const rows = [gate, up].map((name, i): Rows => {
      const source = this.published(name, shape);
      return { source, target: i, stride: 2, layout: targetLayout(source.layout, 'linear', this.input.precision) };
    });
    const [a, b] = rows as [Rows, Rows];
    if (!sameLayout(a.layout, b.layout)) {
      throw new UnsupportedModel(
        `${label(gate)} is ${layoutName(a.layout)} but ${label(up)} is ${layoutName(b.layout)}: both must share a format`,
        { gate: label(gate), up: label(up) },
      );
    }
    const whole: MatrixPart = {
      firstRow: 0,
      rows: 2 * shape.rows,
      cols: shape.cols,
      layout: a.layout,
      pieces: rows.map(({ source, target, stride }) => ({ source, begin: 0, end: shape.rows, target, stride })),
    };
    refuseTooLarge(name, whole, this.input.bindingBytes);
    return { label: name, rows: 2 * shape.rows, cols: shape.cols, parts: [whole] };
  }

  /** Gains, and behind them the biases where the model's norms have them. */
  norm(name: string): VectorSpec {
    const { hidden, norm } = this.input.config;
    const gains = this.gains(name, hidden);
    if (norm !== 'layer-biased') return gains;
    return this.joined([gains, this.vector(name.replace(/weight$/, 'bias'), hidden)]);
  }

  preNorm(name: string | undefined): VectorSpec | null {
    if (!this.input.config.preNorms) return null;
    invariant(name !== undefined, 'a family with norms in front names them');
    return this.norm(name);
  }

  postNorm(name: string | undefined): VectorSpec | null {
    if (!this.input.config.postNorms) return null;
    invariant(name !== undefined, 'a family with post norms names them');
    return this.norm(name);
  }

  /** g (y + b) + h (x + c) as g y + h x + (g b + h c): [3 D]; without a stream h and c are 0. */
  join(names: JoinNames | undefined): VectorSpec | null {
    if (!this.input.config.joinGains) return null;
    invariant(names !== undefined, 'a family with gains where its layers join names them');
    const { hidden } = this.input.config;
    const stored = [names.gain, names.bias, ...(names.stream ? [names.stream.gain, names.stream.bias] : [])];
    const all = this.joined(stored.map((name) => this.vector(name, hidden)));
    const load: VectorSpec['load'] = async (signal) => {
      const values = await all.load(signal);
      const at = (part: number, d: number): number => values[part * hidden + d] ?? 0;
      const bias = (d: number): number => at(0, d) * at(1, d) + at(2, d) * at(3, d);
      return Float32Array.from({ length: 3 * hidden }, (_, i) =>
        i < hidden ? at(0, i) : i < 2 * hidden ? at(2, i - hidden) : bias(i - 2 * hidden),
      );
    };
    return { label: all.label, length: 3 * hidden, load };
  }

  /** What makes `join` of an embedding y the sum y + v, with v of the type of text: [3 D]. */
  tokenType(name: string | undefined): VectorSpec | null {
    const { hidden, tokenType } = this.input.config;
    if (!tokenType) return null;
    invariant(name !== undefined, 'a family with a type of text names its vector');
    const stored = this.vector(name, hidden);
    const load: VectorSpec['load'] = async (signal) => {
      const all = new Float32Array(3 * hidden).fill(1, 0, hidden);
      all.set(await stored.load(signal), 2 * hidden);
      return all;
    };
    return { label: name, length: 3 * hidden, load };
  }

  /** A norm whose biases have a bias more, [2 D]: with it a normed stream joins what experts sum to. */
  biasedNorm(name: string, bias: string): VectorSpec {
    const { hidden, norm } = this.input.config;
    invariant(norm === 'layer-biased', 'a bias of a sum beside norms without biases');
    const stored = this.joined([this.norm(name), this.vector(bias, hidden)]);
    const load: VectorSpec['load'] = async (signal) => {
      const values = await stored.load(signal);
      return Float32Array.from({ length: 2 * hidden }, (_, i) =>
        i < hidden ? values[i]! : values[i]! + values[i + hidden]!,
      );
    };
    return { label: stored.label, length: 2 * hidden, load };
  }

  /** Of a norm, as they multiply. */
  gains(name: string, length: number): VectorSpec {
    const { gainOffset } = this.input.config;
    const stored = this.vector(name, length);
    if (gainOffset === 0) return stored;
    return { ...stored, load: async (signal) => (await stored.load(signal)).map((gain) => gain + gainOffset) };
  }

  vector(name: string, length: number): VectorSpec {
    return { label: name, length, load: findVector(this.input.checkpoint, name, length) };
  }

  scaled(name: string, length: number, by: number): VectorSpec {
    const stored = this.vector(name, length);
    return { ...stored, load: async (signal) => (await stored.load(signal)).map((value) => value * by) };
  }

  /** A small tensor of any rank, stored plainly in every format. */
  tensor(name: string, shape: readonly number[]): VectorSpec {
    const length = shape.reduce((a, b) => a * b, 1);
    return { label: name, length, load: findTensor(this.input.checkpoint, name, shape) };
  }

  /** A [1, D] matrix read as a vector. */
  row(name: string, length: number): VectorSpec {
    return this.vector(`${name}.weight`, length);
  }

  joined(parts: readonly VectorSpec[]): VectorSpec {
    return {
      label: parts.map((p) => p.label).join(' + '),
      length: parts.reduce((n, p) => n + p.length, 0),
      load: async (signal) => {
        const loaded = new Float32Array(parts.reduce((n, p) => n + p.length, 0));
        let at = 0;
        for (const p of parts) {
          loaded.set(await p.load(signal), at);
          at += p.length;
        }
        return loaded;
      },
    };
  }

  /** Biases of what `interleaved` gives, in the order of its rows. @param rows of gate, and of up */
  interleavedBias(gate: MatrixName, up: MatrixName, rows: number): VectorSpec {
    const stored = this.stackedBias([gate, up], [rows, rows]);
    return {
      ...stored,
      load: async (signal) => {
        const halves = await stored.load(signal);
        return halves.map((_, i) => halves[(i >> 1) + (i % 2) * rows]!);
      },
    };
  }

  /** The biases of matrices that are stacked here: of each, or of the one matrix that holds them all. */
  stackedBias(names: readonly MatrixName[], rows: readonly number[]): VectorSpec {
    const [first] = names;
    if (typeof first !== 'string') return this.vector(`${first!.of}.bias`, first!.total);
    return this.joined(names.map((name, i) => this.vector(`${label(name)}.bias`, rows[i]!)));
  }
}
