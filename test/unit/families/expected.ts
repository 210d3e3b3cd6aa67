/** Every tensor that a config implies, by the name its family gives it, with its shape in plain form. */
import { isAttention } from '../../../src/config/mixers.ts';
import type { AttentionConfig, FfnConfig, MixerConfig, ModelConfig, MoeFfn } from '../../../src/config/model-config.ts';
import type {
  ExpertStorage,
  GluNames,
  LayerNames,
  MatrixName,
  JoinNames,
  MoeFfnNames,
  RouterStateNames,
  TensorNames,
} from '../../../src/families/family.ts';
import { plainName } from '../../../src/families/family.ts';
import { mixerShapes } from '../../support/mixer-shapes.ts';

export type Shapes = Map<string, readonly number[]>;

const weight = (name: string): string => `${name}.weight`;

/** A matrix, or the one that it is rows of, and its bias. */
function addMatrix(shapes: Shapes, name: MatrixName, rows: number, cols: number, bias = false): void {
  const [stored, count] = typeof name === 'string' ? [name, rows] : [name.of, name.total];
  shapes.set(weight(stored), [count, cols]);
  if (bias) shapes.set(`${stored}.bias`, [count]);
}

type Ffn = Pick<MoeFfn, 'width' | 'activation'>;

function addGlu(
  shapes: Shapes,
  names: GluNames<MatrixName>,
  { width, activation }: Ffn,
  hidden: number,
  bias = false,
): void {
  addMatrix(shapes, names.gate, activation.kind === 'double-gate' ? 2 * width : width, hidden, bias);
  addMatrix(shapes, names.up, width, hidden, bias);
  addMatrix(shapes, names.down, hidden, width, bias);
}

function addNorm(shapes: Shapes, { norm, hidden }: ModelConfig, name: string): void {
  shapes.set(name, [hidden]);
  if (norm === 'layer-biased') shapes.set(name.replace(/weight$/, 'bias'), [hidden]);
}

function addAttention(shapes: Shapes, a: AttentionConfig, n: LayerNames['mixer'], hidden: number): void {
  const { heads } = a;
  if (a.kind === 'latent' && n.kind === 'latent') {
    const qRows = heads * (a.nopeSize + a.ropeSize);
    if ('direct' in n.q) shapes.set(weight(n.q.direct), [qRows, hidden]);
    else {
      shapes.set(weight(n.q.down), [a.qRank!, hidden]);
      shapes.set(n.q.norm, [a.qRank!]);
      shapes.set(weight(n.q.up), [qRows, a.qRank!]);
    }
    shapes.set(weight(n.kvDown), [a.kvRank + a.ropeSize, hidden]);
    shapes.set(n.kvNorm, [a.kvRank]);
    shapes.set(weight(n.kvUp), [heads * (a.nopeSize + a.valueSize), a.kvRank]);
    shapes.set(weight(n.o), [hidden, heads * a.valueSize]);
    return;
  }
  if (a.kind !== 'grouped' || n.kind !== 'grouped') throw new Error('names of another kind than the config');
  if (a.mixture && n.mixture && typeof n.q === 'string') {
    const [{ experts }, width] = [a.mixture, a.kvHeads * a.headSize];
    addMatrix(shapes, n.mixture.router, experts, hidden);
    shapes.set(n.q, [experts, width, hidden]);
    addMatrix(shapes, [n.k].flat()[0] as MatrixName, width, hidden);
    shapes.set(n.mixture.out, [experts, hidden, width]);
    if (a.bias.o) shapes.set(`${n.o}.bias`, [hidden]);
    return;
  }
  const rows = { q: heads * a.headSize, k: a.kvHeads * a.headSize, v: a.kvHeads * a.headSize };
  const anyStretch = (names: MatrixName | readonly MatrixName[]): MatrixName => ([names].flat() as MatrixName[])[0]!; // names the whole
  if (n.convolution) {
    const { channels, heads: grouped, lengths, delayed } = n.convolution;
    rows.v /= 2;
    addMatrix(shapes, delayed, rows.v, hidden);
    const convolved = rows.q + rows.k;
    shapes.set(weight(channels), [convolved, 1, 2]).set(`${channels}.bias`, [convolved]);
    shapes.set(weight(grouped), [convolved, a.headSize, 2]).set(`${grouped}.bias`, [convolved]);
    shapes.set(lengths, [a.kvHeads]);
  }
  for (const p of ['q', 'k', 'v'] as const)
    for (const name of [n[p]].flat() as MatrixName[]) addMatrix(shapes, name, rows[p], hidden, a.bias.qkv);
  if (n.filter) {
    const { first, second, norm } = n.filter;
    shapes.set(weight(first), [hidden / 2, hidden, 2, 1]).set(`${first}.bias`, [hidden / 2]);
    shapes.set(weight(second), [hidden, hidden / 2, 2, 1]).set(`${second}.bias`, [hidden]);
    shapes.set(norm, [hidden]);
  }
  shapes.set(weight(n.o), [hidden, rows.q]);
  if (a.bias.o) shapes.set(`${n.o}.bias`, [hidden]);
  if (n.qNorm) shapes.set(n.qNorm, [a.qkNorm === 'full' ? rows.q : a.headSize]);
  if (n.kNorm) shapes.set(n.kNorm, [a.qkNorm === 'full' ? rows.k : a.headSize]);
  if (n.sinks) shapes.set(n.sinks, [heads]);
  if (n.distanceBias && a.distanceBias) shapes.set(n.distanceBias, [a.distanceBias.buckets, heads]);
  if (n.gate && a.outputGate)
    addMatrix(shapes, anyStretch(n.gate), a.outputGate.of === 'head' ? heads : rows.q, hidden);
}

function addMixer(shapes: Shapes, mixer: MixerConfig, n: LayerNames['mixer'], hidden: number): void {
  if (isAttention(mixer)) return addAttention(shapes, mixer, n, hidden);
  for (const [name, shape] of Object.entries(mixerShapes(mixer, n, hidden))) shapes.set(name, shape);
}

function addExperts(shapes: Shapes, storage: ExpertStorage, ffn: MoeFfn, hidden: number): void {
  const { width, expertBias, nulls = 0 } = ffn;
  const experts = ffn.experts - nulls;
  if (storage.kind === 'separate') {
    for (let e = 0; e < experts; e++) addGlu(shapes, storage.expert(e), ffn, hidden, expertBias);
    return;
  }
  if (storage.kind === 'flat') {
    for (const name of [storage.gate, storage.up, storage.down]) shapes.set(name, [experts * width, hidden]);
    return;
  }
  if (storage.kind === 'double') {
    shapes.set(storage.gate, [experts, hidden, 2 * width]).set(storage.up, [experts, hidden, width]);
    shapes.set(storage.down, [experts, width, hidden]);
    return;
  }
  const plain = storage.orientation === 'in-out';
  shapes.set(storage.gateUp, plain ? [experts, hidden, 2 * width] : [experts, 2 * width, hidden]);
  shapes.set(storage.down, plain ? [experts, width, hidden] : [experts, hidden, width]);
  if (storage.sumBias) shapes.set(storage.sumBias, [hidden]);
  if (storage.gateUpBias) shapes.set(storage.gateUpBias, [experts, 2 * width]);
  if (storage.downBias) shapes.set(storage.downBias, [experts, hidden]);
}

function addJoin(shapes: Shapes, names: JoinNames | undefined, hidden: number): void {
  if (!names) return;
  for (const { gain, bias } of [names, ...(names.stream ? [names.stream] : [])])
    shapes.set(gain, [hidden]).set(bias, [hidden]);
}

function addRouterState(shapes: Shapes, n: RouterStateNames, size: number, hidden: number): void {
  addMatrix(shapes, n.down, size, hidden, true);
  for (const name of [n.first, n.second]) addMatrix(shapes, name, size, size, true);
  shapes.set(n.norm, [size]);
  if (n.before !== null) shapes.set(n.before, [size]);
}

function addMoe(shapes: Shapes, ffn: MoeFfn, n: MoeFfnNames, hidden: number, kind?: ExpertStorage['kind']): void {
  const { inner, state } = ffn.router;
  shapes.set(plainName(n.router), [inner ?? ffn.experts, state ?? hidden]);
  if (n.routerSecond && inner) shapes.set(weight(n.routerSecond), [ffn.experts, inner]);
  if (n.routerState) addRouterState(shapes, n.routerState, state!, hidden);
  for (const name of n.routerAttends ?? []) shapes.set(weight(name), [ffn.experts, hidden]);
  if (n.routerBias) shapes.set(n.routerBias, [ffn.experts]);
  if (n.sumBias) shapes.set(n.sumBias, [hidden]);
  if (n.selectionBias) shapes.set(n.selectionBias, [ffn.experts]);
  addExperts(
    shapes,
    n.experts.find((s) => s.kind === (kind ?? s.kind))!,
    ffn,
    ffn.latent ?? hidden,
  );
  if (n.latent && ffn.latent) {
    addMatrix(shapes, n.latent.down, ffn.latent, hidden);
    addMatrix(shapes, n.latent.up, hidden, ffn.latent);
  }
  if (n.shared && ffn.shared) addGlu(shapes, n.shared, { ...ffn, ...ffn.shared }, hidden);
  if (n.sharedGate) shapes.set(weight(n.sharedGate), [1, hidden]);
  if (n.routerGains && ffn.router.gains) shapes.set(n.routerGains, [hidden]);
  if (n.expertScale && ffn.router.expertScale) shapes.set(n.expertScale, [ffn.experts]);
  if (n.parallel && ffn.parallel) {
    addGlu(shapes, n.parallel, { ...ffn, ...ffn.parallel }, hidden);
    for (const name of [n.parallel.norm, n.parallel.postNorm, n.parallel.expertsPostNorm])
      if (name) shapes.set(name, [hidden]);
  }
}

type Kind = ExpertStorage['kind'];

function addFfn(shapes: Shapes, ffn: FfnConfig, n: LayerNames['ffn'], hidden: number, kind?: Kind): void {
  if (ffn.kind === 'none') return;
  if (ffn.kind === 'dense' && n.kind === 'dense') addGlu(shapes, n, ffn, hidden, ffn.bias);
  else if (ffn.kind === 'moe' && n.kind === 'moe') addMoe(shapes, ffn, n, hidden, kind);
  else throw new Error('names of another kind than the config');
}

/** @param experts how experts are stored; by default in the first way of the family */
export function expectedTensors(config: ModelConfig, names: TensorNames, experts?: Kind): Shapes {
  const { hidden, vocab, head } = config;
  const shapes: Shapes = new Map();
  shapes.set(weight(names.embed), [vocab, hidden]);
  addJoin(shapes, names.embedJoin, hidden);
  if (names.tokenType) shapes.set(names.tokenType, [1, hidden]);
  config.layers.forEach((layer, i) => {
    const n = names.layer(i);
    for (const name of [n.mixerNorm, n.mixerPostNorm, n.ffnPostNorm]) if (name) addNorm(shapes, config, name);
    for (const join of [n.mixerJoin, n.ffnJoin]) addJoin(shapes, join, hidden);
    addMixer(shapes, layer.mixer, n.mixer, hidden);
    if (n.outScale && layer.outScale) shapes.set(n.outScale, [1]);
    if (n.ffnNorm) addNorm(shapes, config, n.ffnNorm);
    addFfn(shapes, layer.ffn, n.ffn, hidden, experts);
  });
  addNorm(shapes, config, names.finalNorm);
  if (names.encoderNorm) addNorm(shapes, config, names.encoderNorm);
  if (names.head) addMatrix(shapes, names.head, head.labels?.length ?? vocab, hidden, head.bias);
  return shapes;
}
