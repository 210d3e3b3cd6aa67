// A dense network learns four rules at once, badly; its layers are upcycled into experts; a router learns which rule each token follows.
import { createMoELayer } from 'webmoe/layer';
import { LiveTrace } from 'webmoe/trace';

const D = 16; // four numbers say which rule, twelve are what it is about
const RULES = {
  negate: (v) => v.map((x) => -x),
  reverse: (v) => v.toReversed(),
  swap: (v) => v.map((_, i) => v[i ^ 1]),
  shift: (v) => v.map((_, i) => v[(i + 5) % v.length]),
};
export const NAMES = Object.keys(RULES);

const DENSE = { hidden_size: D, intermediate_size: 8, num_experts: 1, max_tokens: 128 };
const K = 2; // experts a token takes
/** A pyramid: later layers have more experts. */
const PYRAMID = [4, 8];
const MOE = {
  ...DENSE,
  k: K,
  norm_topk_prob: true, // weights add up to 1: equal experts are together what one was
  noisy_gate_policy: 'RSample', // experts that are nearly as good get their turn
  capacity_factor: 1.5, // in training; outside it nobody is dropped
  eval_capacity_factor: 8,
  loss_coef: { load_balancing: 0.01, z: 0.001 },
};

/** Uniform in [0, 1), seeded. */
function generator(seed) {
  let a = seed;
  return () => {
    a = (Math.imul(a, 1664525) + 1013904223) >>> 0;
    return a / 2 ** 32;
  };
}

/** x and what the network should make of it, [T, D] each, and the rule of each token. */
function batch(random, tokens, ruleOf) {
  const x = new Float32Array(tokens * D);
  const y = new Float32Array(tokens * D);
  const rules = Array.from({ length: tokens }, (_, t) => ruleOf(t));
  rules.forEach((rule, t) => {
    const values = Array.from({ length: D - 4 }, () => 2 * random() - 1);
    x[t * D + rule] = 1;
    x.set(values, t * D + 4);
    y.set(RULES[NAMES[rule]](values), t * D + 4);
  });
  return { x, y, rules };
}

/** Adam over named arrays. */
class Adam {
  #rate;
  #moments = new Map();
  #steps = 0;

  constructor(rate) {
    this.#rate = rate;
  }

  step(weights, gradients) {
    this.#steps++;
    for (const [name, w] of Object.entries(weights)) {
      const g = gradients[name];
      if (!this.#moments.has(name)) this.#moments.set(name, [new Float32Array(w.length), new Float32Array(w.length)]);
      const [m, v] = this.#moments.get(name);
      for (let i = 0; i < w.length; i++) {
        m[i] = 0.9 * m[i] + 0.1 * g[i];
        v[i] = 0.99 * v[i] + 0.01 * g[i] * g[i];
        const even = [m[i] / (1 - 0.9 ** this.#steps), v[i] / (1 - 0.99 ** this.#steps)];
        w[i] -= (this.#rate * even[0]) / (Math.sqrt(even[1]) + 1e-8);
      }
    }
  }
}

/** Layers with residuals between them: h + layer(h), one after the other. */
class Network {
  static async create(device, options, rate) {
    const layers = await Promise.all(options.map((o) => createMoELayer(device, o)));
    return new Network(layers, await Promise.all(layers.map((layer) => layer.read())), rate);
  }

  constructor(layers, weights, rate) {
    this.layers = layers;
    this.weights = weights;
    this.optimizers = layers.map(() => new Adam(rate));
  }

  /** @returns the last h, and each layer's run */
  async forward(x, options) {
    let h = x;
    const runs = [];
    for (const layer of this.layers) {
      runs.push(await layer.forward(h, options));
      const out = await layer.readOutput();
      h = h.map((value, i) => value + out[i]);
    }
    return { h, runs };
  }

  /** One step of training. @returns the mean squared error before it */
  async train({ x, y }) {
    const { h } = await this.forward(x, { training: true });
    let dh = h.map((value, i) => (2 * (value - y[i])) / h.length);
    for (const [i, layer] of [...this.layers.entries()].reverse()) {
      await layer.backward(dh);
      const gradients = await layer.readGradients();
      dh = dh.map((value, j) => value + gradients.x[j]);
      this.optimizers[i].step(this.weights[i], gradients);
      await layer.write(this.weights[i]);
    }
    return error(h, y);
  }

  dispose() {
    for (const layer of this.layers) layer.dispose();
  }
}

const error = (h, y) => h.reduce((sum, value, i) => sum + (value - y[i]) ** 2, 0) / h.length;

/** Every expert begins as the dense layer: out of the same place, the router pulls them apart. */
function upcycle(dense, sparse) {
  return Promise.all(
    sparse.layers.map((layer, i) => {
      for (const name of ['gate_proj', 'up_proj', 'down_proj']) {
        const one = dense.weights[i][name];
        sparse.weights[i][name].forEach((_, at, all) => (all[at] = one[at % one.length]));
      }
      return layer.write(sparse.weights[i]);
    }),
  );
}

/** What every layer does with tokens of each rule, as a trace that webmoe/viz can show. */
async function traceOf(network, name) {
  const [layers, experts] = [PYRAMID.length, Math.max(...PYRAMID)];
  const expertBytes = Array(layers).fill(3 * DENSE.intermediate_size * D * 4);
  const trace = new LiveTrace(
    { name, layers, experts, topK: K, expertBytes },
    { scoring: 'softmax', provenance: { kind: 'recorded', note: 'examples/train-router: rules of a toy task' } },
  );
  const random = generator(99);
  for (const [rule, domain] of NAMES.entries()) {
    const tokens = 32;
    const { runs } = await network.forward(batch(random, tokens, () => rule).x, { training: false });
    const chosen = new Int16Array(tokens * layers * K);
    const weights = new Float32Array(tokens * layers * K);
    for (const [l, { dispatch }] of runs.entries()) {
      for (let pair = 0; pair < tokens * K; pair++) {
        const at = (Math.floor(pair / K) * layers + l) * K + (pair % K);
        chosen[at] = dispatch.experts[pair];
        weights[at] = dispatch.weights[pair];
      }
    }
    trace.begin({ name: domain, domain });
    trace.prompt({
      position: 0,
      shape: [tokens, layers, K],
      token_ids: new Int32Array(tokens).fill(rule),
      routed_experts: chosen,
      router_weights: weights,
      router_logits: null,
      texts: Array(tokens).fill(`${domain} `),
    });
  }
  return trace.snapshot();
}

/** Bits that the first expert of a token in the last layer tells of its rule; 2 would be all. */
export function informationOf({ model: { layers, topK }, ids }) {
  const row = layers * topK;
  const tokens = ids.length / row;
  const counts = new Map();
  const add = (key) => counts.set(key, (counts.get(key) ?? 0) + 1);
  for (let t = 0; t < tokens; t++) {
    const expert = ids[t * row + (layers - 1) * topK];
    add(`expert ${expert}`);
    add(`${Math.floor((t * NAMES.length) / tokens)} expert ${expert}`);
  }
  const pairs = [...counts].filter(([key]) => !key.startsWith('expert'));
  const bits = ([key, n]) => (n / tokens) * Math.log2((n * NAMES.length) / counts.get(key.slice(key.indexOf(' ') + 1)));
  return pairs.reduce((sum, pair) => sum + bits(pair), 0);
}

/**
 * @param device a GPUDevice
 * @param steps of training, of each network
 * @param onStep told the network's name, the step, its error, and now and then a trace
 */
export async function train(device, { steps = 300, onStep = () => undefined } = {}) {
  const random = generator(1);
  const any = () => Math.floor(random() * NAMES.length);
  const dense = await Network.create(
    device,
    PYRAMID.map((_, seed) => ({ ...DENSE, seed })),
    0.01,
  );
  for (let step = 0; step < steps; step++) onStep('dense', step, await dense.train(batch(random, 128, any)));

  const sparse = await Network.create(
    device,
    PYRAMID.map((num_experts, seed) => ({ ...MOE, num_experts, seed })),
    0.01,
  );
  await upcycle(dense, sparse);
  const before = await traceOf(sparse, 'just upcycled');
  for (let step = 0; step < steps; step++) onStep('experts', step, await sparse.train(batch(random, 128, any)));
  const after = await traceOf(sparse, 'trained');

  const test = batch(generator(7), 128, (t) => t % NAMES.length);
  const [one, many] = await Promise.all([dense, sparse].map((network) => network.forward(test.x, { training: false })));
  dense.dispose();
  sparse.dispose();
  return { before, after, errors: { dense: error(one.h, test.y), experts: error(many.h, test.y) } };
}
