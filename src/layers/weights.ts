/**
 * The weights of a model, by role. One shape serves twice: `M` and `V` are what to load (engine/describe.ts) and, after loading,
 * what lies on the GPU (engine/upload.ts).
 */

export interface ModelWeights<M, V, X> {
  readonly embed: M; // [V, D]
  /** [V, D]; the same object as `embed` when tied. */
  readonly head: M;
  readonly finalNorm: V; // [D]
  readonly layers: readonly LayerWeights<M, V, X>[];
}

export interface LayerWeights<M, V, X> {
  readonly attentionNorm: V; // [D]
  readonly ffnNorm: V; // [D]
  readonly attention: GroupedWeights<M, V> | LatentWeights<M, V>;
  readonly ffn: DenseWeights<M> | MoeWeights<M, V, X>;
}

export interface GroupedWeights<M, V> {
  readonly kind: 'grouped';
  /** Rows: q heads, k heads, v heads. */
  readonly qkv: M; // [(H + 2 Hk) A, D]
  readonly qkvBias: V | null;
  readonly o: M; // [D, H A]
  readonly oBias: V | null;
  readonly qNorm: V | null;
  readonly kNorm: V | null;
  readonly sinks: V | null; // [H]
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

export interface DenseWeights<M> {
  readonly kind: 'dense';
  /** Rows 2j are gate, 2j + 1 up. */
  readonly gateUp: M; // [2 width, D]
  readonly down: M; // [D, width]
}

export interface MoeWeights<M, V, X> {
  readonly kind: 'moe';
  readonly router: M; // [E, D]
  /** Added to the logits. */
  readonly logitBias: V | null; // [E]
  /** Added to the scores for selection. */
  readonly selectionBias: V | null; // [E]
  readonly experts: X;
  readonly shared: DenseWeights<M> | null;
  readonly sharedGate: V | null; // [D]
}

export interface WeightMapper<M, V, X, M2, V2, X2> {
  matrix(matrix: M): Promise<M2>;
  vector(vector: V): Promise<V2>;
  experts(experts: X): Promise<X2>;
}

/** Turns every weight of a model into something else, in the order of the forward pass; a tied head stays tied. */
export async function mapWeights<M, V, X, M2, V2, X2>(
  model: ModelWeights<M, V, X>,
  to: WeightMapper<M, V, X, M2, V2, X2>,
): Promise<ModelWeights<M2, V2, X2>> {
  const optional = async <A, B>(value: A | null, map: (value: A) => Promise<B>): Promise<B | null> =>
    value === null ? null : map(value);
  const dense = async (w: DenseWeights<M>): Promise<DenseWeights<M2>> => ({
    kind: 'dense',
    gateUp: await to.matrix(w.gateUp),
    down: await to.matrix(w.down),
  });
  const vector = (v: V): Promise<V2> => to.vector(v);

  const attention = async (w: LayerWeights<M, V, X>['attention']): Promise<LayerWeights<M2, V2, X2>['attention']> =>
    w.kind === 'grouped'
      ? {
          kind: 'grouped',
          qkv: await to.matrix(w.qkv),
          qkvBias: await optional(w.qkvBias, vector),
          o: await to.matrix(w.o),
          oBias: await optional(w.oBias, vector),
          qNorm: await optional(w.qNorm, vector),
          kNorm: await optional(w.kNorm, vector),
          sinks: await optional(w.sinks, vector),
        }
      : {
          kind: 'latent',
          down: await to.matrix(w.down),
          qNorm: await optional(w.qNorm, vector),
          qUp: await optional(w.qUp, (m) => to.matrix(m)),
          kvNorm: await vector(w.kvNorm),
          kvUp: await to.matrix(w.kvUp),
          o: await to.matrix(w.o),
        };

  const ffn = async (w: LayerWeights<M, V, X>['ffn']): Promise<LayerWeights<M2, V2, X2>['ffn']> =>
    w.kind === 'dense'
      ? dense(w)
      : {
          kind: 'moe',
          router: await to.matrix(w.router),
          logitBias: await optional(w.logitBias, vector),
          selectionBias: await optional(w.selectionBias, vector),
          experts: await to.experts(w.experts),
          shared: await optional(w.shared, dense),
          sharedGate: await optional(w.sharedGate, vector),
        };

  const embed = await to.matrix(model.embed);
  const layers: LayerWeights<M2, V2, X2>[] = [];
  for (const layer of model.layers) {
    layers.push({
      attentionNorm: await vector(layer.attentionNorm),
      attention: await attention(layer.attention),
      ffnNorm: await vector(layer.ffnNorm),
      ffn: await ffn(layer.ffn),
    });
  }
  const finalNorm = await vector(model.finalNorm);
  const head = model.head === model.embed ? embed : await to.matrix(model.head);
  return { embed, head, finalNorm, layers };
}
