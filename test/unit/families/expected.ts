/** Every tensor that a config implies, by the name its family gives it, with its shape in plain form. */
import { isAttention } from '../../../src/config/mixers.ts';
import type { AttentionConfig, FfnConfig, MixerConfig, ModelConfig, MoeFfn } from '../../../src/config/model-config.ts';
import type { ExpertStorage, GluNames, LayerNames, MoeFfnNames, TensorNames } from '../../../src/families/family.ts';

import { mixerShapes } from '../../support/mixer-shapes.ts';

export type Shapes = Map<string, readonly number[]>;

const weight = (name: string): string => `${name}.weight`;

function addGlu(shapes: Shapes, names: GluNames, width: number, hidden: number): void {
  shapes.set(weight(names.gate), [width, hidden]);
  shapes.set(weight(names.up), [width, hidden]);
  shapes.set(weight(names.down), [hidden, width]);
}

function addAttention(shapes: Shapes, a: AttentionConfig, n: LayerNames['attention'], hidden: number): void {
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
  const rows = { q: heads * a.headSize, k: a.kvHeads * a.headSize, v: a.kvHeads * a.headSize };
  for (const p of ['q', 'k', 'v'] as const) {
    shapes.set(weight(n[p]), [rows[p], hidden]);
    if (a.bias.qkv) shapes.set(`${n[p]}.bias`, [rows[p]]);
  }
  shapes.set(weight(n.o), [hidden, rows.q]);
  if (a.bias.o) shapes.set(`${n.o}.bias`, [hidden]);
  if (n.qNorm) shapes.set(n.qNorm, [a.qkNorm === 'full' ? rows.q : a.headSize]);
  if (n.kNorm) shapes.set(n.kNorm, [a.qkNorm === 'full' ? rows.k : a.headSize]);
  if (n.sinks) shapes.set(n.sinks, [heads]);
}

function addMixer(shapes: Shapes, mixer: MixerConfig, n: LayerNames['attention'], hidden: number): void {
  if (isAttention(mixer)) return addAttention(shapes, mixer, n, hidden);
  for (const [name, shape] of Object.entries(mixerShapes(mixer, n, hidden))) shapes.set(name, shape);
}

function addExperts(shapes: Shapes, storage: ExpertStorage, ffn: MoeFfn, hidden: number): void {
  const { experts, width } = ffn;
  if (storage.kind === 'separate') {
    for (let e = 0; e < experts; e++) addGlu(shapes, storage.expert(e), width, hidden);
    return;
  }
  const plain = storage.orientation === 'in-out';
  shapes.set(storage.gateUp, plain ? [experts, hidden, 2 * width] : [experts, 2 * width, hidden]);
  shapes.set(storage.down, plain ? [experts, width, hidden] : [experts, hidden, width]);
  if (storage.gateUpBias) shapes.set(storage.gateUpBias, [experts, 2 * width]);
  if (storage.downBias) shapes.set(storage.downBias, [experts, hidden]);
}

function addMoe(shapes: Shapes, ffn: MoeFfn, n: MoeFfnNames, hidden: number): void {
  shapes.set(weight(n.router), [ffn.experts, hidden]);
  if (n.routerBias) shapes.set(n.routerBias, [ffn.experts]);
  if (n.selectionBias) shapes.set(n.selectionBias, [ffn.experts]);
  addExperts(shapes, n.experts[0]!, ffn, hidden);
  if (n.shared && ffn.shared) addGlu(shapes, n.shared, ffn.shared.width, hidden);
  if (n.sharedGate) shapes.set(weight(n.sharedGate), [1, hidden]);
}

function addFfn(shapes: Shapes, ffn: FfnConfig, n: LayerNames['ffn'], hidden: number): void {
  if (ffn.kind === 'dense' && n.kind === 'dense') addGlu(shapes, n, ffn.width, hidden);
  else if (ffn.kind === 'moe' && n.kind === 'moe') addMoe(shapes, ffn, n, hidden);
  else throw new Error('names of another kind than the config');
}

export function expectedTensors(config: ModelConfig, names: TensorNames): Shapes {
  const { hidden, vocab } = config;
  const shapes: Shapes = new Map();
  shapes.set(weight(names.embed), [vocab, hidden]);
  shapes.set(names.finalNorm, [hidden]);
  if (names.head) shapes.set(weight(names.head), [vocab, hidden]);
  config.layers.forEach((layer, i) => {
    const n = names.layer(i);
    shapes.set(n.attentionNorm, [hidden]);
    shapes.set(n.ffnNorm, [hidden]);
    addMixer(shapes, layer.attention, n.attention, hidden);
    addFfn(shapes, layer.ffn, n.ffn, hidden);
  });
  return shapes;
}
