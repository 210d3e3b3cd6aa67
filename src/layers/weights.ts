/**
 * The weights of a model, by role. One shape serves twice: matrices `M`, vectors `V`, experts `X` and routers `R` are what to load
 * (engine/describe/) and, after loading, what lies on the GPU (engine/upload.ts).
 */

export interface ModelWeights<M, V, X, R> {
  readonly embed: M; // [V, D]
  /** [V, D]; the same object as `embed` when tied. */
  readonly head: M;
  readonly headBias: V | null; // [V]
  /** Norms of tokens: gains [D], and behind them the biases of a layer norm [2 D]. */
  readonly finalNorm: V;
  /** Of what an encoder's layers leave; null without one. */
  readonly encoderNorm: V | null;
  /** Of the embedding: see `mixerPostNorm`; null where it is the residual stream as it is. */
  readonly embedJoin: V | null;
  readonly layers: readonly LayerWeights<M, V, X, R>[];
}

export interface LayerWeights<M, V, X, R> {
  /** Of what the mixer reads; null where it reads the residual stream as it is. */
  readonly mixerNorm: V | null;
  /** Of what joins the residual stream; null where it joins as it is. With `joinGains` its gains, those of the stream, biases: [3 D]. */
  readonly mixerPostNorm: V | null;
  readonly ffnPostNorm: V | null;
  /** [1]: multiplies the residual stream behind the layer; null where nothing does. */
  readonly outScale: V | null;
  readonly mixer: GroupedWeights<M, V> | LatentWeights<M, V> | RecurrentWeights<M, V>;
  readonly ffn: DenseLayerWeights<M, V> | MoeWeights<M, V, X, R> | { readonly kind: 'none' };
}

export interface GroupedWeights<M, V> {
  readonly kind: 'grouped';
  /** Rows: q heads, k heads, v heads; then the output gate of the q heads, where there is one. */
  readonly qkv: M; // [(H + 2 Hk) A, D] or [(2 H + 2 Hk) A, D]
  readonly qkvBias: V | null;
  readonly o: M; // [D, H A]
  readonly oBias: V | null;
  readonly qNorm: V | null;
  readonly kNorm: V | null;
  readonly sinks: V | null; // [H]
  /** Of attention to an encoded text: k heads and v heads of what the encoder gives; `qkv` then has q heads alone. */
  readonly kv: M | null; // [2 Hk A, D]
  readonly kvBias: V | null; // [2 Hk A]
  readonly distanceBias: V | null; // [buckets, H]
  readonly filter: FilterWeights<M, V> | null;
  readonly convolution: ConvolutionWeights<V> | null;
}

/** What heads of q and k go through; C are their channels. */
export interface ConvolutionWeights<V> {
  /** Taps of each channel, its bias, its bias in the convolution of its head; then the lengths of k heads. */
  readonly channels: V; // [2 C, C, C, Hk]
  readonly heads: V; // [C, A, 2]
}

/** What q and k are filtered by; with it the rows of `qkv` are those of q and k. Pairs of matrices are for the token before and for the token itself. */
export interface FilterWeights<M, V> {
  readonly first: readonly [before: M, now: M]; // [D / 2, D]
  readonly firstBias: V; // [D / 2]
  readonly second: readonly [before: M, now: M]; // [D, D / 2]
  readonly secondBias: V; // [D]
  /** Taps of a convolution by channel that gives the token before: 1, 0. */
  readonly shift: V; // [D, 2]
  readonly norm: V; // [D]
  readonly v: M; // [Hk A, D]
}

export interface LatentWeights<M, V> {
  readonly kind: 'latent';
  /** Rows: q or its latent, then the kv latent, then the shared rope key. */
  readonly down: M;
  readonly qNorm: V | null;
  /** Absent when q is projected directly. */
  readonly qUp: M | null;
  readonly kvNorm: V;
  readonly kvUp: M; // [H (nope + value), kvRank]
  readonly o: M;
}

export type RecurrentWeights<M, V> =
  DeltaNetWeights<M, V> | ShortConvolutionWeights<M, V> | Mamba1Weights<M, V> | Mamba2Weights<M, V>;

export interface ShortConvolutionWeights<M, V> {
  readonly kind: 'short-conv';
  /** Rows: B, C, x. */
  readonly inProj: M; // [3 D, D]
  readonly taps: V; // [D, taps]
  readonly outProj: M; // [D, D]
}

export interface Mamba1Weights<M, V> {
  readonly kind: 'mamba-1';
  /** Rows: x, z. */
  readonly inProj: M; // [2 channels, D]
  readonly taps: V; // [channels, taps]
  readonly convBias: V | null; // [channels]
  /** Rows: the steps' low rank, B, C. */
  readonly selectProj: M; // [R + 2 N, channels]
  readonly stepNorm: V; // [R]
  readonly bNorm: V; // [N]
  readonly cNorm: V; // [N]
  readonly stepProj: M; // [channels, R]
  /** Bias of the steps, D, log(-A). */
  readonly scan: V; // [channels, channels, channels N]
  readonly outProj: M; // [D, channels]
}

export interface Mamba2Weights<M, V> {
  readonly kind: 'mamba-2';
  /** Rows: z, x, B, C, steps. */
  readonly inProj: M; // [2 channels + 2 G N + heads, D]
  readonly taps: V; // [channels + 2 G N, taps]
  readonly convBias: V | null; // [channels + 2 G N]
  /** Bias of the steps, D, log(-A). */
  readonly scan: V; // [heads, heads, heads]
  readonly norm: V; // [channels]
  readonly outProj: M; // [D, channels]
}

export interface DeltaNetWeights<M, V> {
  readonly kind: 'delta-net';
  /** Rows: q, k, v, z, b, a. */
  readonly inProj: M; // [2 key heads * key size + 2 heads * value size + 2 heads, D]
  readonly taps: V; // [q, k and v, taps]
  /** What makes an RMS norm one to unit length, and q as much shorter as attention's scale says. */
  readonly qkGains: V; // [2, key heads, key size]
  /** log of the rates, bias of a. */
  readonly rates: V; // [heads, heads]
  /** The same for every head. */
  readonly norm: V; // [heads, value size]
  readonly outProj: M; // [D, heads * value size]
}

export interface DenseWeights<M> {
  readonly kind: 'dense';
  /** Rows 2j are gate, 2j + 1 up; of a double gate first, gate and up lie one below the other. */
  readonly gateUp: M; // [2 width, D], without gates [width, D], of a double gate [3 width, D]
  readonly down: M; // [D, width]
}

/** Of a dense layer: a shared expert has no norm of its own. */
export interface DenseLayerWeights<M, V> extends DenseWeights<M> {
  /** Of what it reads; null where it reads the residual stream as it is. */
  readonly norm: V | null;
  /** In the order of their rows; null where there are none. */
  readonly gateUpBias: V | null; // [2 width], without gates [width]
  readonly downBias: V | null; // [D]
}

/** A dense FFN beside the experts. */
export interface ParallelWeights<M, V> extends DenseWeights<M> {
  readonly norm: V;
  /** Of what it gives, and of what the experts give; null where both join the residual stream as they are. */
  readonly postNorm: V | null;
  readonly expertsPostNorm: V | null;
}

/** Into and out of the latent that experts work in, of N values. */
export interface ExpertLatent<M> {
  readonly down: M; // [N, D]
  readonly up: M; // [D, N]
}

/** What a router that carries a state reads x through. */
export interface RouterStateWeights<M, V> {
  /** Of x, for experts too. */
  readonly norm: V; // [D]
  readonly down: M; // [R, D]
  /** Bias, gains of the state before (0 without one), gains of the norm; weights by input and biases of both layers. */
  readonly vectors: V; // [R, R, R, R R, R, R R, R]
}

export interface MoeWeights<M, V, X, R> {
  readonly kind: 'moe';
  /** Norm, router matrix, its biases, shared gate: see kernels/moe/router_block.ts. */
  readonly router: R;
  /** Null where the router reads x as experts do; else the block has no norm, and maps what this gives. */
  readonly state: RouterStateWeights<M, V> | null;
  readonly experts: X;
  /** With a bias of the experts' sum: the layer's norm with that among its biases, which gives the stream that the sum joins; else null. */
  readonly streamNorm: V | null; // [2 D]
  readonly latent: ExpertLatent<M> | null;
  readonly shared: DenseWeights<M> | null;
  readonly parallel: ParallelWeights<M, V> | null;
}

/** Every matrix of a layer's token mixer. */
export function mixerMatrices<M, V>(w: LayerWeights<M, V, unknown, unknown>['mixer']): (M | null)[] {
  if (w.kind === 'grouped')
    return [w.qkv, w.kv, w.o, ...(w.filter ? [...w.filter.first, ...w.filter.second, w.filter.v] : [])];
  if (w.kind === 'latent') return [w.down, w.qUp, w.kvUp, w.o];
  if (w.kind === 'mamba-1') return [w.inProj, w.selectProj, w.stepProj, w.outProj];
  return [w.inProj, w.outProj];
}

/** Every vector of a layer's token mixer. */
export function mixerVectors<M, V>(w: LayerWeights<M, V, unknown, unknown>['mixer']): (V | null)[] {
  if (w.kind === 'grouped') {
    const { filter } = w;
    const ofFilter = filter ? [filter.firstBias, filter.secondBias, filter.shift, filter.norm] : [];
    const ofConvolution = w.convolution ? [w.convolution.channels, w.convolution.heads] : [];
    return [w.qkvBias, w.kvBias, w.oBias, w.qNorm, w.kNorm, w.sinks, w.distanceBias, ...ofFilter, ...ofConvolution];
  }
  if (w.kind === 'latent') return [w.qNorm, w.kvNorm];
  if (w.kind === 'short-conv') return [w.taps];
  if (w.kind === 'mamba-1') return [w.taps, w.convBias, w.stepNorm, w.bNorm, w.cNorm, w.scan];
  if (w.kind === 'delta-net') return [w.taps, w.qkGains, w.rates, w.norm];
  return [w.taps, w.convBias, w.scan, w.norm];
}

export interface WeightMapper<M, V, X, R, M2, V2, X2, R2> {
  matrix(matrix: M): Promise<M2>;
  vector(vector: V): Promise<V2>;
  experts(experts: X): Promise<X2>;
  router(router: R): Promise<R2>;
}

async function mapRecurrent<M, V, M2, V2>(
  w: RecurrentWeights<M, V>,
  to: Pick<WeightMapper<M, V, never, never, M2, V2, never, never>, 'matrix' | 'vector'>,
): Promise<RecurrentWeights<M2, V2>> {
  const inProj = await to.matrix(w.inProj);
  const taps = await to.vector(w.taps);
  if (w.kind === 'short-conv') return { kind: w.kind, inProj, taps, outProj: await to.matrix(w.outProj) };
  if (w.kind === 'delta-net') {
    const qkGains = await to.vector(w.qkGains);
    const [rates, norm] = [await to.vector(w.rates), await to.vector(w.norm)];
    return { kind: w.kind, inProj, taps, qkGains, rates, norm, outProj: await to.matrix(w.outProj) };
  }
  const convBias = w.convBias === null ? null : await to.vector(w.convBias);
  if (w.kind === 'mamba-1') {
    return {
      kind: w.kind,
      inProj,
      taps,
      convBias,
      selectProj: await to.matrix(w.selectProj),
      stepNorm: await to.vector(w.stepNorm),
      bNorm: await to.vector(w.bNorm),
      cNorm: await to.vector(w.cNorm),
      stepProj: await to.matrix(w.stepProj),
      scan: await to.vector(w.scan),
      outProj: await to.matrix(w.outProj),
    };
  }
  return {
    kind: w.kind,
    inProj,
    taps,
    convBias,
    scan: await to.vector(w.scan),
    norm: await to.vector(w.norm),
    outProj: await to.matrix(w.outProj),
  };
}

/** Turns every weight of a model into something else, in the order of the forward pass; a tied head stays tied. */
export async function mapWeights<M, V, X, R, M2, V2, X2, R2>(
  model: ModelWeights<M, V, X, R>,
  to: WeightMapper<M, V, X, R, M2, V2, X2, R2>,
): Promise<ModelWeights<M2, V2, X2, R2>> {
  type From = LayerWeights<M, V, X, R>;
  type To = LayerWeights<M2, V2, X2, R2>;
  const optional = async <A, B>(value: A | null, map: (value: A) => Promise<B>): Promise<B | null> =>
    value === null ? null : map(value);
  const dense = async (w: DenseWeights<M>): Promise<DenseWeights<M2>> => ({
    kind: 'dense',
    gateUp: await to.matrix(w.gateUp),
    down: await to.matrix(w.down),
  });
  const vector = (v: V): Promise<V2> => to.vector(v);
  const filter = async (w: FilterWeights<M, V>): Promise<FilterWeights<M2, V2>> => ({
    first: [await to.matrix(w.first[0]), await to.matrix(w.first[1])],
    firstBias: await to.vector(w.firstBias),
    second: [await to.matrix(w.second[0]), await to.matrix(w.second[1])],
    secondBias: await to.vector(w.secondBias),
    shift: await to.vector(w.shift),
    norm: await to.vector(w.norm),
    v: await to.matrix(w.v),
  });

  const attention = async (w: From['mixer']): Promise<To['mixer']> => {
    if (w.kind === 'grouped') {
      return {
        kind: 'grouped',
        qkv: await to.matrix(w.qkv),
        qkvBias: await optional(w.qkvBias, vector),
        o: await to.matrix(w.o),
        oBias: await optional(w.oBias, vector),
        qNorm: await optional(w.qNorm, vector),
        kNorm: await optional(w.kNorm, vector),
        sinks: await optional(w.sinks, vector),
        filter: await optional(w.filter, filter),
        convolution: await optional(w.convolution, async ({ channels, heads }) => ({
          channels: await to.vector(channels),
          heads: await to.vector(heads),
        })),
        kv: await optional(w.kv, (m) => to.matrix(m)),
        kvBias: await optional(w.kvBias, vector),
        distanceBias: await optional(w.distanceBias, vector),
      };
    }
    if (w.kind === 'latent') {
      return {
        kind: 'latent',
        down: await to.matrix(w.down),
        qNorm: await optional(w.qNorm, vector),
        qUp: await optional(w.qUp, (m) => to.matrix(m)),
        kvNorm: await vector(w.kvNorm),
        kvUp: await to.matrix(w.kvUp),
        o: await to.matrix(w.o),
      };
    }
    return mapRecurrent(w, to);
  };

  const parallel = async (w: ParallelWeights<M, V>): Promise<ParallelWeights<M2, V2>> => ({
    norm: await vector(w.norm),
    ...(await dense(w)),
    postNorm: await optional(w.postNorm, vector),
    expertsPostNorm: await optional(w.expertsPostNorm, vector),
  });

  const ffn = async (w: From['ffn']): Promise<To['ffn']> => {
    if (w.kind === 'none') return w;
    if (w.kind === 'dense')
      return {
        norm: await optional(w.norm, vector),
        ...(await dense(w)),
        gateUpBias: await optional(w.gateUpBias, vector),
        downBias: await optional(w.downBias, vector),
      };
    return {
      kind: 'moe',
      router: await to.router(w.router),
      state: await optional(w.state, async ({ norm, down, vectors }) => ({
        norm: await to.vector(norm),
        down: await to.matrix(down),
        vectors: await to.vector(vectors),
      })),
      experts: await to.experts(w.experts),
      streamNorm: await optional(w.streamNorm, vector),
      latent: await optional(w.latent, async ({ down, up }) => ({
        down: await to.matrix(down),
        up: await to.matrix(up),
      })),
      shared: await optional(w.shared, dense),
      parallel: await optional(w.parallel, parallel),
    };
  };

  const embed = await to.matrix(model.embed);
  const embedJoin = await optional(model.embedJoin, vector);
  const layers: To[] = [];
  for (const layer of model.layers) {
    layers.push({
      mixerNorm: await optional(layer.mixerNorm, vector),
      mixerPostNorm: await optional(layer.mixerPostNorm, vector),
      mixer: await attention(layer.mixer),
      ffn: await ffn(layer.ffn),
      ffnPostNorm: await optional(layer.ffnPostNorm, vector),
      outScale: await optional(layer.outScale, vector),
    });
  }
  const finalNorm = await vector(model.finalNorm);
  const encoderNorm = await optional(model.encoderNorm, vector);
  const head = model.head === model.embed ? embed : await to.matrix(model.head);
  const headBias = await optional(model.headBias, vector);
  return { embed, embedJoin, head, headBias, finalNorm, encoderNorm, layers };
}
