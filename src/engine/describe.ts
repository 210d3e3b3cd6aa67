/**
 * From names to work: finds every weight of a model in its checkpoint, checks shapes, and says in which layout and in how many parts it
 * goes to the GPU. Reads headers only; nothing is fetched.
 */
import { gateRows } from '../config/mixers.ts';
import type { DenseFfn, FfnConfig, LayerConfig, MixerConfig, ModelConfig, MoeFfn } from '../config/model-config.ts';
import type { Json } from '../config/read.ts';
import { InvalidCheckpoint, OutOfBudget, UnsupportedModel } from '../errors.ts';
import type {
  ExpertStorage,
  GluNames,
  GroupedAttentionNames,
  LatentAttentionNames,
  LayerNames,
  MatrixName,
  MoeFfnNames,
  ParallelNames,
  TensorNames,
} from '../families/family.ts';
import { routerBlock, type RouterBlock } from '../kernels/moe/router_block.ts';
import type {
  DenseWeights,
  GroupedWeights,
  LatentWeights,
  LayerWeights,
  ModelWeights,
  ParallelWeights,
} from '../layers/weights.ts';
import { slotLayout, type SlotLayout } from '../moe/slots.ts';
import { invariant } from '../util/assert.ts';
import type { Adapter } from '../weights/adapters/lora.ts';
import type { Checkpoint } from '../weights/checkpoint.ts';
import {
  expertMatrices,
  findExpertBias,
  findExpertMatrix,
  findMatrix,
  findTensor,
  findVector,
  type ExpertBias,
  type ExpertMatrices,
} from '../weights/formats/index.ts';
import { isBiasBeside } from '../weights/formats/column-ints.ts';
import { layoutName, planes, sameLayout, type Layout, type MatrixShape } from '../weights/layout.ts';
import { rowsOf, sideBySide, type PublishedMatrix } from '../weights/matrix.ts';
import { describeRecurrent } from './describe-mixers.ts';
import { targetLayout, type MatrixRole, type Precision } from './precision.ts';

/** Rows [begin, end) of a published matrix go to rows `target`, `target + stride`, ... of a part. */
export interface Piece {
  readonly source: PublishedMatrix;
  readonly begin: number;
  readonly end: number;
  readonly target: number;
  readonly stride: number;
}

/** A stretch of rows with one layout that fits one binding. */
export interface MatrixPart extends MatrixShape {
  readonly firstRow: number;
  readonly layout: Layout;
  readonly pieces: readonly Piece[];
}

export interface MatrixSpec extends MatrixShape {
  readonly label: string;
  readonly parts: readonly MatrixPart[];
}

export interface VectorSpec {
  readonly label: string;
  readonly length: number;
  load(signal?: AbortSignal): Promise<Float32Array>;
}

export interface ExpertsSpec {
  readonly label: string;
  readonly count: number; // E
  readonly topK: number; // K
  readonly slot: SlotLayout;
  readonly matrices: (e: number) => ExpertMatrices;
  readonly bias: ((e: number, signal?: AbortSignal) => Promise<ExpertBias>) | null;
  readonly storedBytes: number;
}

export interface RouterSpec {
  readonly label: string;
  readonly block: RouterBlock;
  readonly matrix: MatrixPart; // [E, D], at the block's start
  /** With byte offsets in the block. */
  readonly vectors: readonly { readonly at: number; readonly vector: VectorSpec }[];
}

export type ModelSpec = ModelWeights<MatrixSpec, VectorSpec, ExpertsSpec, RouterSpec>;
export type LayerSpec = LayerWeights<MatrixSpec, VectorSpec, ExpertsSpec, RouterSpec>;

/** Of every MoE layer. */
export const expertSpecs = (spec: ModelSpec): ExpertsSpec[] =>
  spec.layers.flatMap(({ ffn }) => (ffn.kind === 'moe' ? [ffn.experts] : []));

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

interface Rows {
  readonly source: PublishedMatrix;
  readonly target: number;
  readonly stride: number;
  readonly layout: Layout;
}

/** For messages. */
const label = (name: MatrixName): string =>
  typeof name === 'string' ? name : `${name.of}[${name.first}..${name.first + name.rows}]`;

/** Stretches of rows of one matrix that lie one below the other, or in one piece. */
function inStretches(
  names: MatrixName | readonly MatrixName[],
  whole: MatrixShape,
): (readonly [MatrixName, MatrixShape])[] {
  if (!isList(names)) return [[names, whole]];
  return names.map((name) => [name, { rows: typeof name === 'string' ? whole.rows : name.rows, cols: whole.cols }]);
}

const isList = (names: MatrixName | readonly MatrixName[]): names is readonly MatrixName[] => Array.isArray(names);

function onlyOne(names: MatrixName | readonly MatrixName[]): MatrixName {
  invariant(!isList(names), 'biases of rows in stretches are not supported');
  return names;
}

const labelOf = (names: MatrixName | readonly MatrixName[]): string => label(isList(names) ? names[0]! : names);

class Describer {
  readonly #in: DescribeInput;

  constructor(input: DescribeInput) {
    this.#in = input;
  }

  model(): ModelSpec {
    const { config, names } = this.#in;
    const { hidden, vocab } = config;
    const embed = this.matrix(names.embed, { rows: vocab, cols: hidden }, 'embedding');
    return {
      embed,
      head: names.head === null ? embed : this.matrix(names.head, { rows: vocab, cols: hidden }, 'embedding'),
      headBias: config.head.bias ? this.vector(`${names.head ?? names.embed}.bias`, vocab) : null,
      finalNorm: this.norm(names.finalNorm),
      layers: config.layers.map((layer, i) => this.layer(layer, names.layer(i))),
    };
  }

  layer(layer: LayerConfig, names: LayerNames): LayerSpec {
    return {
      mixerNorm: this.preNorm(names.mixerNorm),
      mixerPostNorm: this.postNorm(names.mixerPostNorm),
      ffnPostNorm: this.postNorm(names.ffnPostNorm),
      outScale: layer.outScale ? this.vector(names.outScale!, 1) : null,
      mixer: this.attention(layer.mixer, names.mixer),
      ffn: this.ffn(layer.ffn, names),
    };
  }

  attention(config: MixerConfig, names: LayerNames['mixer']): LayerSpec['mixer'] {
    if (config.kind === 'grouped') {
      invariant(names.kind === 'grouped', 'attention names of another kind than the config');
      return this.grouped(config, names);
    }
    if (config.kind === 'latent') {
      invariant(names.kind === 'latent', 'attention names of another kind than the config');
      return this.latent(config, names);
    }
    return describeRecurrent(this, config, names, this.#in.config.hidden);
  }

  grouped(
    config: Extract<MixerConfig, { kind: 'grouped' }>,
    names: GroupedAttentionNames,
  ): GroupedWeights<MatrixSpec, VectorSpec> {
    const { hidden } = this.#in.config;
    const { heads, kvHeads, headSize } = config;
    const qRows = heads * headSize;
    const kvRows = kvHeads * headSize;
    if (config.mixture) return this.mixture(config, names);
    const norm = (name: string | null, projection: number): VectorSpec | null =>
      name === null ? null : this.gains(name, config.qkNorm === 'full' ? projection : headSize);
    return {
      kind: 'grouped',
      qkv: this.stacked(
        `${labelOf(names.q)} + k + v`,
        [
          ...inStretches(names.q, { rows: qRows, cols: hidden }),
          [names.k, { rows: kvRows, cols: hidden }],
          [names.v, { rows: kvRows, cols: hidden }],
          ...(names.gate && config.outputGate ? inStretches(names.gate, { rows: gateRows(config), cols: hidden }) : []),
        ],
        'linear',
      ),
      qkvBias: config.bias.qkv ? this.stackedBias([onlyOne(names.q), names.k, names.v], [qRows, kvRows, kvRows]) : null,
      o: this.matrix(names.o, { rows: hidden, cols: qRows }, 'linear'),
      oBias: config.bias.o ? this.vector(`${names.o}.bias`, hidden) : null,
      qNorm: norm(names.qNorm, qRows),
      kNorm: norm(names.kNorm, kvRows),
      sinks: names.sinks === null ? null : this.vector(names.sinks, heads),
    };
  }

  /** Of a mixture of attention heads: rows of all experts' q, k, v, the router's; and the ways out of all experts side by side. */
  mixture(
    config: Extract<MixerConfig, { kind: 'grouped' }>,
    names: GroupedAttentionNames,
  ): GroupedWeights<MatrixSpec, VectorSpec> {
    const { hidden } = this.#in.config;
    const { kvHeads, headSize } = config;
    const { experts } = config.mixture!;
    const width = kvHeads * headSize;
    invariant(names.mixture && typeof names.q === 'string', 'a mixture of heads has names of its own');
    const { router, out } = names.mixture;
    const all = Array.from({ length: experts }, (_, e) => e);
    const q = all.map((e) => this.expertMatrix(names.q as string, e, { rows: width, cols: hidden, experts }));
    const kv = [names.k, names.v].map((name) => this.find(name, { rows: width, cols: hidden }));
    const routes = this.find(router, { rows: experts, cols: hidden });
    const ways = all.map((e) => this.expertMatrix(out, e, { rows: hidden, cols: width, experts }));
    return {
      kind: 'grouped',
      qkv: this.placed(`${names.q} + kv + router`, [
        ...[...q, ...kv].map((source) => [source, 'linear'] as const),
        [routes, 'router'],
      ]),
      qkvBias: null,
      o: this.placed(out, [[sideBySide(out, ways), 'linear']]),
      oBias: config.bias.o ? this.vector(`${names.o}.bias`, hidden) : null,
      qNorm: null,
      kNorm: null,
      sinks: null,
    };
  }

  expertMatrix(name: string, e: number, shape: MatrixShape & { readonly experts: number }): PublishedMatrix {
    const found = findExpertMatrix(this.#in.checkpoint, this.#in.quantization, name, e, shape);
    if (!found)
      throw new InvalidCheckpoint('missing-tensor', `The checkpoint has no weights for ${name}`, { tensor: name });
    return found;
  }

  latent(
    config: Extract<MixerConfig, { kind: 'latent' }>,
    names: LatentAttentionNames,
  ): LatentWeights<MatrixSpec, VectorSpec> {
    const { hidden } = this.#in.config;
    const { heads, qRank, kvRank, nopeSize, ropeSize, valueSize } = config;
    const qRows = heads * (nopeSize + ropeSize);
    const kv: [string, MatrixShape] = [names.kvDown, { rows: kvRank + ropeSize, cols: hidden }];
    const low = 'direct' in names.q ? null : names.q;
    invariant((low === null) === (qRank === null), 'q names and config disagree');
    const q: [string, MatrixShape] = low
      ? [low.down, { rows: qRank!, cols: hidden }]
      : [(names.q as { direct: string }).direct, { rows: qRows, cols: hidden }];
    return {
      kind: 'latent',
      down: this.stacked(`${q[0]} + kv`, [q, kv], 'linear'),
      qNorm: low && this.vector(low.norm, qRank!),
      qUp: low && this.matrix(low.up, { rows: qRows, cols: qRank! }, 'linear'),
      kvNorm: this.vector(names.kvNorm, kvRank),
      kvUp: this.matrix(
        names.kvUp,
        { rows: heads * (nopeSize + valueSize), cols: kvRank },
        'linear',
        nopeSize + valueSize,
      ),
      o: this.matrix(names.o, { rows: hidden, cols: heads * valueSize }, 'linear'),
    };
  }

  ffn(config: FfnConfig, { ffn: names, ffnNorm }: LayerNames): LayerSpec['ffn'] {
    const norm = this.preNorm(ffnNorm);
    if (config.kind === 'dense') {
      invariant(names.kind === 'dense', 'ffn names of another kind than the config');
      return { norm, ...this.dense(names, config.width) };
    }
    invariant(names.kind === 'moe', 'ffn names of another kind than the config');
    return {
      kind: 'moe',
      router: this.router(config, names, norm),
      experts: this.experts(config, names),
      shared: names.shared && config.shared ? this.dense(names.shared, config.shared.width) : null,
      parallel: names.parallel && config.parallel ? this.parallel(names.parallel, config.parallel.width) : null,
    };
  }

  dense(names: GluNames<MatrixName>, width: DenseFfn['width']): DenseWeights<MatrixSpec> {
    const { hidden } = this.#in.config;
    return {
      kind: 'dense',
      gateUp: this.interleaved(names.gate, names.up, { rows: width, cols: hidden }),
      down: this.matrix(names.down, { rows: hidden, cols: width }, 'linear'),
    };
  }

  parallel(names: ParallelNames, width: number): ParallelWeights<MatrixSpec, VectorSpec> {
    return {
      norm: this.norm(names.norm),
      ...this.dense(names, width),
      postNorm: this.norm(names.postNorm),
      expertsPostNorm: this.norm(names.expertsPostNorm),
    };
  }

  router(
    { experts, router: { gains = false, expertScale: scaled = false } }: MoeFfn,
    names: MoeFfnNames,
    norm: VectorSpec | null,
  ): RouterSpec {
    const { config, precision } = this.#in;
    const shape = { rows: experts, cols: config.hidden };
    const source = this.find(names.router, shape);
    const layout = targetLayout(source.layout, 'router', precision);
    const logitBias = names.routerBias === null ? null : this.vector(names.routerBias, experts);
    const selectionBias = names.selectionBias === null ? null : this.vector(names.selectionBias, experts);
    const sharedGate = names.sharedGate === null ? null : this.row(names.sharedGate, config.hidden);
    const routerGains = gains ? this.scaled(names.routerGains!, config.hidden, config.hidden ** -0.5) : null;
    const expertScale = scaled ? this.vector(names.expertScale!, experts) : null;
    const block = routerBlock({
      hidden: config.hidden,
      experts,
      layout,
      norm: norm !== null,
      normBias: config.norm === 'layer-biased',
      logitBias: logitBias !== null,
      selectionBias: selectionBias !== null,
      sharedGate: sharedGate !== null,
      routerGains: gains,
      expertScale: scaled,
    });
    const vectors = [
      { at: block.gammaAt, vector: norm },
      { at: block.logitBiasAt, vector: logitBias },
      { at: block.selectionBiasAt, vector: selectionBias },
      { at: block.sharedGateAt, vector: sharedGate },
      { at: block.routerGainsAt, vector: routerGains },
      { at: block.expertScaleAt, vector: expertScale },
    ];
    return {
      label: names.router,
      block,
      matrix: { ...shape, firstRow: 0, layout, pieces: [{ source, begin: 0, end: experts, target: 0, stride: 1 }] },
      vectors: vectors.flatMap(({ at, vector }) => (vector ? [{ at, vector }] : [])),
    };
  }

  experts(config: MoeFfn, names: MoeFfnNames): ExpertsSpec {
    const { checkpoint, quantization, precision, config: model } = this.#in;
    const shape = { hidden: model.hidden, width: config.width, experts: config.experts };
    const find = (storage: ExpertStorage, e: number): ExpertMatrices | null => {
      const found = expertMatrices(checkpoint, quantization, storage, e, shape);
      return found && this.adaptedExpert(found);
    };
    const storage = names.experts.find((s) => find(s, 0) !== null);
    const label = `experts of ${names.router}`;
    if (!storage) {
      const firstOf = (s: ExpertStorage): string =>
        s.kind === 'fused' ? s.gateUp : s.kind === 'flat' ? s.gate : s.expert(0).gate;
      const tried = names.experts.map(firstOf);
      throw new InvalidCheckpoint('missing-tensor', `No experts found: looked for ${tried.join(' and ')}`, { tried });
    }
    const matrices = Array.from({ length: config.experts }, (_, e) => {
      const found = find(storage, e);
      if (!found)
        throw new InvalidCheckpoint('missing-tensor', `Expert ${e} is missing beside ${names.router}`, {
          expert: e,
          router: names.router,
        });
      return found;
    });
    const target = (m: PublishedMatrix): Layout => targetLayout(m.layout, 'linear', precision);
    const first = matrices[0]!;
    const gateUp = target(first.gate);
    const down = target(first.down);
    const mustBe = (m: PublishedMatrix, wanted: Layout): void => {
      if (sameLayout(target(m), wanted)) return;
      const found = layoutName(target(m));
      throw new UnsupportedModel(
        `${m.name} is ${found} where its neighbours are ${layoutName(wanted)}: experts of a layer must share a format`,
        { tensor: m.name },
      );
    };
    for (const m of matrices) {
      mustBe(m.gate, gateUp);
      mustBe(m.up, gateUp);
      mustBe(m.down, down);
    }
    const biases = config.expertBias ? matrices.map((_, e) => findExpertBias(checkpoint, storage, e, shape)) : null;
    return {
      label,
      count: config.experts,
      topK: config.topK,
      slot: slotLayout({ hidden: model.hidden, width: config.width, gateUp, down, bias: config.expertBias }),
      matrices: (e) => matrices[e]!,
      bias: biases && ((e, signal) => biases[e]!(signal)),
      storedBytes: matrices.reduce((n, m) => n + m.gate.storedBytes + m.up.storedBytes + m.down.storedBytes, 0),
    };
  }

  /** Gains, and behind them the biases where the model's norms have them. */
  norm(name: string): VectorSpec {
    const { hidden, norm } = this.#in.config;
    const gains = this.gains(name, hidden);
    if (norm !== 'layer-biased') return gains;
    return this.joined([gains, this.vector(name.replace(/weight$/, 'bias'), hidden)]);
  }

  preNorm(name: string | undefined): VectorSpec | null {
    if (!this.#in.config.preNorms) return null;
    invariant(name !== undefined, 'a family with norms in front names them');
    return this.norm(name);
  }

  postNorm(name: string | undefined): VectorSpec | null {
    if (!this.#in.config.postNorms) return null;
    invariant(name !== undefined, 'a family with post norms names them');
    return this.norm(name);
  }

  /** Of a norm, as they multiply. */
  gains(name: string, length: number): VectorSpec {
    const { gainOffset } = this.#in.config;
    const stored = this.vector(name, length);
    if (gainOffset === 0) return stored;
    return { ...stored, load: async (signal) => (await stored.load(signal)).map((gain) => gain + gainOffset) };
  }

  vector(name: string, length: number): VectorSpec {
    return { label: name, length, load: findVector(this.#in.checkpoint, name, length) };
  }

  scaled(name: string, length: number, by: number): VectorSpec {
    const stored = this.vector(name, length);
    return { ...stored, load: async (signal) => (await stored.load(signal)).map((value) => value * by) };
  }

  /** A small tensor of any rank, stored plainly in every format. */
  tensor(name: string, shape: readonly number[]): VectorSpec {
    const length = shape.reduce((a, b) => a * b, 1);
    return { label: name, length, load: findTensor(this.#in.checkpoint, name, shape) };
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

  /** The biases of matrices that are stacked here: of each, or of the one matrix that holds them all. */
  stackedBias(names: readonly MatrixName[], rows: readonly number[]): VectorSpec {
    const [first] = names;
    if (typeof first !== 'string') return this.vector(`${first!.of}.bias`, first!.total);
    return this.joined(names.map((name, i) => this.vector(`${label(name)}.bias`, rows[i]!)));
  }

  find(name: MatrixName, shape: MatrixShape): PublishedMatrix {
    if (typeof name !== 'string') {
      invariant(name.rows === shape.rows, `${label(name)}: as many rows as the config says`);
      return rowsOf(this.find(name.of, { rows: name.total, cols: shape.cols }), name.first, name.rows);
    }
    const found = findMatrix(this.#in.checkpoint, this.#in.quantization, name, shape);
    if (!found)
      throw new InvalidCheckpoint('missing-tensor', `The checkpoint has no weights for ${name}`, { tensor: name });
    return this.adapted(found);
  }

  adapted(matrix: PublishedMatrix): PublishedMatrix {
    return this.#in.adapter?.merge(matrix) ?? matrix;
  }

  adaptedExpert({ gate, up, down }: ExpertMatrices): ExpertMatrices {
    return { gate: this.adapted(gate), up: this.adapted(up), down: this.adapted(down) };
  }

  /** @param unit rows that stay together where a matrix is cut */
  matrix(name: string, shape: MatrixShape, role: MatrixRole, unit = 1): MatrixSpec {
    return this.placed(name, [[this.find(name, shape), role]], unit);
  }

  /** Matrices with the same columns, one below the other. */
  stacked(label: string, wanted: readonly (readonly [MatrixName, MatrixShape])[], role: MatrixRole): MatrixSpec {
    return this.placed(
      label,
      wanted.map(([name, shape]) => [this.find(name, shape), role]),
    );
  }

  /** The same for matrices that were found. */
  placed(label: string, sources: readonly (readonly [PublishedMatrix, MatrixRole])[], unit = 1): MatrixSpec {
    let target = 0;
    const rows = sources.map(([source, role]): Rows => {
      const at = target;
      target += source.rows;
      return { source, target: at, stride: 1, layout: targetLayout(source.layout, role, this.#in.precision) };
    });
    return { label, rows: target, cols: sources[0]![0].cols, parts: this.parts(label, rows, unit) };
  }

  interleaved(gate: MatrixName, up: MatrixName, shape: MatrixShape): MatrixSpec {
    const name = `${label(gate)} + up`;
    const rows = [gate, up].map((name, i): Rows => {
      const source = this.find(name, shape);
      return { source, target: i, stride: 2, layout: targetLayout(source.layout, 'linear', this.#in.precision) };
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
    this.fits(name, whole);
    return { label: name, rows: 2 * shape.rows, cols: shape.cols, parts: [whole] };
  }

  fits(label: string, part: MatrixPart): void {
    const bytes = planes(part.layout, part).bytes;
    if (bytes > this.#in.bindingBytes) {
      throw new OutOfBudget(
        `${label} takes ${bytes} bytes, more than this GPU binds at once (${this.#in.bindingBytes}); load it with weights: "q4"`,
        { label, bytes },
      );
    }
  }

  /** One part for neighbours of one layout, cut where a binding would overflow. */
  parts(label: string, rows: readonly Rows[], unit: number): MatrixPart[] {
    const parts: MatrixPart[] = [];
    let open: { layout: Layout; cols: number; firstRow: number; rows: number; pieces: Piece[] } | null = null;
    for (const { source, target, layout } of rows) {
      const rowBytes = planes(layout, { rows: 1024, cols: source.cols }).bytes / 1024;
      const most = Math.floor((this.#in.bindingBytes - 64) / rowBytes / unit) * unit;
      if (most < 1) {
        const what = unit > 1 ? `${unit} rows` : 'One row';
        throw new OutOfBudget(`${what} of ${label} exceed what this GPU binds at once`, { label });
      }
      for (let begin = 0; begin < source.rows;) {
        if (!open || !sameLayout(open.layout, layout) || open.rows >= most) {
          open = { layout, cols: source.cols, firstRow: target + begin, rows: 0, pieces: [] };
          parts.push(open);
        }
        const end: number = Math.min(source.rows, begin + most - open.rows);
        open.pieces.push({ source, begin, end, target: open.rows, stride: 1 });
        open.rows += end - begin;
        begin = end;
      }
    }
    return parts;
  }
}

/** A tensor inside a layer that nothing reads would change what the layer computes: a bias, a norm, a scale. */
function refuseUnread({ checkpoint, names }: DescribeInput): void {
  const unread = checkpoint
    .unasked()
    .filter((name) => names.ofLayer(name) && !names.ignored(name) && !isBiasBeside(checkpoint, name));
  if (unread.length === 0) return;
  const more = unread.length > 3 ? ` and ${unread.length - 3} more` : '';
  throw new UnsupportedModel(
    `The checkpoint has tensors that config.json does not announce: ${unread.slice(0, 3).join(', ')}${more}. Without them the model would compute something else`,
    { tensors: unread.slice(0, 100) },
  );
}

function refuseUnmerged({ adapter }: DescribeInput): void {
  const left = adapter?.unmerged() ?? [];
  if (left.length === 0) return;
  const more = left.length > 3 ? ` and ${left.length - 3} more` : '';
  throw new UnsupportedModel(
    `The adapter changes modules that this model does not have, or not as matrices of their own: ${left.slice(0, 3).join(', ')}${more}`,
    { modules: left.slice(0, 100) },
  );
}

/**
 * @throws InvalidCheckpoint for missing tensors and wrong shapes
 * @throws UnsupportedModel for formats that cannot be mixed or are not known, and for tensors of a layer that nothing reads
 */
export function describeModel(input: DescribeInput): ModelSpec {
  const spec = new Describer(input).model();
  refuseUnread(input);
  refuseUnmerged(input);
  return spec;
}
