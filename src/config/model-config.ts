/**
 * What a family file turns config.json into: every axis resolved, nothing optional, nothing named after a family.
 * Shared code asks for a property (`router.renormalize`), never for a name.
 * Letters: D hidden, E experts, K experts per token, F expert width, H heads, Hk KV heads, A head size, V vocabulary, L layers.
 */

export interface ModelConfig {
  /** The family file's id, for messages and `inspect` only. */
  readonly family: string;
  readonly vocab: number; // V
  readonly hidden: number; // D
  readonly layers: readonly LayerConfig[]; // L
  /** The first of the layers read a text as a whole, once; the others, a decoder, see what that left. Absent: all are one stack. */
  readonly encoder?: EncoderConfig;
  readonly norm: NormKind;
  /** Added to every stored gain, those of q and k included: 1 where files hold the gain less one. */
  readonly gainOffset: 0 | 1;
  /** What attention and feed-forward read of the residual stream is normed first; else (OLMo 2) they read it as it is: only with `postNorms`. */
  readonly preNorms: boolean;
  /** What attention and feed-forward add to the residual stream is normed before it is added. */
  readonly postNorms: boolean;
  /**
   * What attention and feed-forward add, y, joins the stream x as gain (y + bias) + gain (x + bias), vectors of D that every add has of its own; the embedding
   * enters it as gain (y + bias). Only without `postNorms` and with scales of 1. Default false: x + y.
   */
  readonly joinGains?: boolean;
  /**
   * What a norm gives is the residual stream from there on: x = norm(x), then x + f(x), a norm behind every add and behind the embedding (post-norm layers).
   * Only with `preNorms` of a layer norm and without `postNorms`. Default false: the stream goes on as it was in front of the norm.
   */
  readonly normedStream?: boolean;
  readonly normEps: number;
  /** Of the last norm, where it is another. */
  readonly finalNormEps?: number;
  /** Multiplies the embedding. */
  readonly embeddingScale: number;
  /**
   * Added to the embedding of the token at position p of its stack: of each angle (p + offset) 10000^(-j / (D / 2 - 1)), j below D / 2, the sine, then of each
   * the cosine. Absent: nothing is.
   */
  readonly sinusoids?: { readonly offset: number };
  /** The embedding of every token gets one vector more, that of the only type of text. Default false. */
  readonly tokenType?: boolean;
  /** Multiplies what attention and feed-forward add to the residual stream. */
  readonly residualScale: number;
  /** logits = (W x + bias) * scale; with `softcap`, that many times tanh of them over it. */
  readonly head: {
    readonly bias: boolean;
    readonly scale: number;
    readonly softcap?: number;
    /** What W has a row for each of, in place of the vocabulary's tokens: only of an encoder alone, whose tokens it labels. */
    readonly labels?: readonly string[];
  };
  readonly tieEmbeddings: boolean;
  /** The longest context the checkpoint claims. */
  readonly maxContext: number;
  /** From config.json; generation_config.json, where present, has the last word. */
  readonly endTokens: readonly number[];
  readonly beginToken: number | null;
}

/** A decoder's layer with attention to itself and to the text counts as two, the first without a feed-forward. */
export interface EncoderConfig {
  readonly layers: number;
  /** The token in front of what the decoder writes. Absent: there is none, all layers are the encoder's, and their result is what the model gives. */
  readonly startToken?: number;
  /** What it writes first, where a request does not say; generation_config.json, where it says, has the last word. Absent: what it draws. */
  readonly firstToken?: number;
}

/** `layer`: (x - mean) / deviation * gain; `layer-biased` adds a bias. */
export type NormKind = 'rms' | 'layer' | 'layer-biased';

export interface LayerConfig {
  readonly mixer: MixerConfig;
  readonly ffn: FfnConfig;
  /** The residual stream behind the layer is multiplied by a number of the checkpoint; only with `postNorms`. Default false. */
  readonly outScale?: boolean;
}

/** What lets a token see those before it: attention over all of them, or a state of fixed size that they leave behind. */
export type MixerConfig = AttentionConfig | RecurrentConfig;

export type RecurrentConfig = ShortConvolution | Mamba1 | Mamba2 | DeltaNet;

/** LFM2: B, C, x = in(h); out(C * conv(B * x)), a convolution over the last `taps` tokens, each of D channels by itself. */
export interface ShortConvolution {
  readonly kind: 'short-conv';
  readonly taps: number;
}

/**
 * Mamba as Jamba has it. x, z = in(h); x = silu(conv(x)); dt, B, C = select(x), each RMS-normed; dt = softplus(steps(dt) + bias);
 * S = exp(dt A) S + dt x B; out((S C + D x) silu(z)). Every channel has a step and decays of its own.
 */
export interface Mamba1 {
  readonly kind: 'mamba-1';
  readonly channels: number;
  readonly states: number; // N
  readonly taps: number;
  readonly convBias: boolean;
  /** Of the steps' low rank. */
  readonly rank: number;
}

/** Mamba-2. z, xBC, dt = in(h); x, B, C = silu(conv(xBC)); then as above, one step and decay a head, and an RMS norm before out. */
export interface Mamba2 {
  readonly kind: 'mamba-2';
  readonly heads: number;
  readonly headSize: number; // channels = heads * headSize
  /** Neighbouring heads that share B and C. */
  readonly groups: number;
  readonly states: number; // N
  readonly taps: number;
  readonly convBias: boolean;
  /** What steps are clamped to. */
  readonly stepLimits: readonly [least: number, most: number];
  /** The norm runs over the channels of a group, or over all. */
  readonly normGroups: number;
}

/**
 * Gated delta net (Qwen3-Next). q, k, v, z, b, a = in(h); q, k, v = silu(conv(q, k, v)); q and k of unit length, q / sqrt(key size); a head at a time
 * S = exp(-exp(A) softplus(a + bias)) S; S = S + (v - S k) sigmoid(b) k; out(norm(S q) silu(z)).
 */
export interface DeltaNet {
  readonly kind: 'delta-net';
  readonly heads: number;
  /** Heads of q and k, each for as many neighbouring heads. */
  readonly keyHeads: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly taps: number;
}

export type AttentionConfig = GroupedAttention | LatentAttention;

/** Multi-head attention with shared key/value heads (GQA; MHA when Hk = H). */
export interface GroupedAttention {
  readonly kind: 'grouped';
  readonly heads: number; // H
  readonly kvHeads: number; // Hk
  readonly headSize: number; // A
  /** Multiplies q·k. */
  readonly scale: number;
  /** RMS norm of q and k: over each head before RoPE or after it, or over the whole projection before. */
  readonly qkNorm: 'none' | 'per-head' | 'per-head-rotated' | 'full';
  /** Whether that norm has gains. Default true. */
  readonly qkGains?: boolean;
  /** v goes through an RMS norm without gains, each head by itself; only with a norm per head of q and k. Default false. */
  readonly valueNorm?: boolean;
  /** v is projected by the matrix of k. Default false. */
  readonly valuesAreKeys?: boolean;
  /** q is multiplied by 1 + scale ln(1 + floor((position + 1) / every)). Absent: by nothing. */
  readonly temperature?: { readonly scale: number; readonly every: number };
  /** A scaled product s of q and k counts as cap tanh(s / cap). Absent: as it is. */
  readonly softcap?: number;
  /**
   * q and k read norm(h + b) in place of what the layer reads, h, and v still reads h: a = convolution of h over two tokens, D to D / 2 channels, b = one of a,
   * back to D, both with biases (localized filtering, Yuan 2). `normEps` is that norm's. Absent: all three read h.
   */
  readonly filter?: { readonly normEps: number };
  /**
   * q and k heads go through two convolutions over two tokens, with biases, a channel by itself and then a head by itself; to that joins the mean of q and its
   * k, of a k head that of its group; heads have length sqrt(A), those of k times a number each. The second half of all v is that of the token before
   * (compressed convolutional attention, ZAYA). Only without norms, biases and clips of q, k, v. Default false.
   */
  readonly convolved?: boolean;
  /** Clamp of q, k, v to ±clip after the norm, before RoPE. */
  readonly clip: number | null;
  readonly bias: { readonly qkv: boolean; readonly o: boolean };
  /** Keys with position > query position - window are seen, where all of a step are seen also position < query position + window; null sees all. */
  readonly window: number | null;
  /** In place of that, keys of the query's own stretch of `window` positions, counted from 0. Default false. */
  readonly chunked?: boolean;
  /** One learned logit a head joins the softmax's denominator. */
  readonly sinks: boolean;
  /** Attention is multiplied by a function of W x, a gate for each value or for each head, before it is projected out. Absent: by nothing. */
  readonly outputGate?: { readonly of: 'value' | 'head'; readonly by: 'sigmoid' | 'softplus' };
  /**
   * Mixture of attention heads: a router of its own chooses `topK` experts, each with the q heads and the way out of its own; k and v are
   * shared, and `heads` counts those of the chosen. Weights are softmax over the chosen. Absent: all heads are everyone's.
   */
  readonly mixture?: { readonly experts: number; readonly topK: number };
  /**
   * Which keys a token sees: its own and those before it; of the whole step, in an encoder's layer; or those that the encoder's result is projected
   * to, which `window` does not bound. Default `before`.
   */
  readonly sees?: 'before' | 'step' | 'encoded';
  /** A scaled product gets a number that each head has for the bucket of the key's distance from the query (T5). Absent: none. */
  readonly distanceBias?: DistanceBias;
  readonly rope: RopeConfig;
}

export interface DistanceBias {
  /** Of a bidirectional stack half are for keys behind the query. */
  readonly buckets: number;
  /** From this distance on all are in the last bucket. */
  readonly furthest: number;
}

/** Multi-head latent attention (DeepSeek-V2): keys and values come from a low-rank latent. */
export interface LatentAttention {
  readonly kind: 'latent';
  readonly heads: number; // H
  /** null: q is projected directly. */
  readonly qRank: number | null;
  readonly kvRank: number;
  readonly nopeSize: number;
  readonly ropeSize: number;
  readonly valueSize: number;
  /** Multiplies q·k, YaRN's correction included. */
  readonly scale: number;
  /** Epsilon of the norms inside; 1e-6 in every published model, whatever rms_norm_eps says. */
  readonly innerNormEps: number;
  readonly rope: RopeConfig;
}

export interface RopeConfig {
  /** Angle of pair j at position p is p * inverseFrequencies[j]; twice as many dimensions rotate. */
  readonly inverseFrequencies: readonly number[];
  /** Multiplies cos and sin (YaRN's attention factor). */
  readonly amplitude: number;
  /** Pairs are (2j, 2j+1) instead of (j, j + n/2). */
  readonly interleaved: boolean;
  /** Positions, frequencies, angles, cos and sin are rounded to bf16 each, as a model was trained. Default false. */
  readonly rounded?: boolean;
  /** In a context of more than `beyond` tokens every position turns by these instead (longrope). Absent: all contexts turn alike. */
  readonly long?: {
    readonly beyond: number;
    readonly inverseFrequencies: readonly number[];
    readonly amplitude: number;
  };
}

export type Activation =
  | { readonly kind: 'silu' } // silu(gate) * up
  | { readonly kind: 'gelu-tanh' } // gelu_tanh(gate) * up
  | { readonly kind: 'relu' } // max(gate, 0) * up
  /** max(up, 0)^2, without a gate: an expert is two matrices, up [F, D] and down [D, F]. F is even. */
  | { readonly kind: 'relu-squared' }
  | { readonly kind: 'relu-ungated' } // max(up, 0), as that one
  | { readonly kind: 'gelu-ungated' } // gelu(up) by erf, as that one
  /** first * silu(gate) * up: an expert is four matrices, of which the first two lie in one [2F, D], `gate` in the names. F is even. */
  | { readonly kind: 'double-gate' }
  /** g = min(gate, limit), u = clamp(up, ±limit): (u + 1) * g * sigmoid(alpha * g); gpt-oss */
  | { readonly kind: 'clamped-swiglu'; readonly alpha: number; readonly limit: number };

export type FfnConfig = DenseFfn | MoeFfn | NoFfn;

/** The layer is its token mixer alone. Nothing of `postNorms` for a feed-forward, and no `outScale`. */
export interface NoFfn {
  readonly kind: 'none';
}

export interface DenseFfn {
  readonly kind: 'dense';
  readonly width: number;
  readonly activation: Activation;
  /** Biases on gate, up and down. Default false. */
  readonly bias?: boolean;
}

export interface MoeFfn {
  readonly kind: 'moe';
  readonly experts: number; // E
  readonly topK: number; // K
  /** So many of them, the last, have no weights and give 0: a token may choose to skip the layer. Only without a shared expert. Default 0. */
  readonly nulls?: number;
  readonly width: number; // F
  readonly activation: Activation;
  /** Biases on gate, up and down of every expert. */
  readonly expertBias: boolean;
  /** One bias joins the sum of the experts, whatever they weigh. Only with `normedStream`, whose MoE layers all have it. Default false. */
  readonly sumBias?: boolean;
  readonly router: RouterConfig;
  /** Of a text that is read as a whole, an expert takes the first so many tokens that choose it; the others' weight is 0. Absent: all. */
  readonly capacity?: number;
  /** What the router and the experts read: the residual stream in front of the FFN, normed; or the router that in front of the layer, as it is. */
  readonly routerInput?: 'ffn' | 'layer';
  /** Weights multiply what an expert gives, or what it takes; that only with one expert a token. Default: what it gives. */
  readonly weightsOn?: 'output' | 'input';
  /** Multiplies what experts read, but not what the router does. Only without a shared expert. Default 1. */
  readonly inputScale?: number;
  /** Experts work in a latent of so many values: up of the sum of expert(down x). Router and shared expert read x. Only without `postNorms`. Absent: in D. */
  readonly latent?: number;
  /** The residual stream that router and experts read through the layer's norm: the one in front of the FFN, or of the whole layer. Default: of the FFN. */
  readonly reads?: 'ffn' | 'layer';
  /**
   * A dense FFN of norms of its own beside the experts, which reads the residual stream in front of the FFN. With `postNorms` what both give is normed each
   * by itself, then added; without, both join the stream as they are, and there is no shared expert. Only without `postNorms` it may lie `behind` the
   * experts (OpenMoE): it reads the stream that they joined.
   */
  readonly parallel?: { readonly width: number; readonly behind?: boolean };
  /** A dense FFN that every token takes, beside the experts. */
  readonly shared: { readonly width: number; /** times sigmoid(g·x) */ readonly gated: boolean } | null;
}

/**
 * One expert after the other by the largest logit: the weight of the k-th is its softmax over those experts, of the ones not yet chosen, whose
 * logit z lies close to its own, m: (m - z) / max(|z|, m) <= tolerance. Weights do not sum to one.
 */
export interface SparseMixer {
  readonly kind: 'sparse-mixer';
  readonly tolerance: number;
}

/** model-families.md section 5 is the catalogue. Order: logits, score, selection key, group mask, top-k, renormalise, scale. */
export interface RouterConfig {
  /** `softmax-chosen`: top-k of the logits, then softmax over the K chosen. */
  readonly score: 'softmax' | 'sigmoid' | 'sqrt-softplus' | 'softmax-chosen' | SparseMixer;
  /** Experts attend to each other: of three maps of x to E values each, q, k and v, logits are softmax(q k^T) v, [E, E] times [E]. Default false. */
  readonly attends?: boolean;
  /** Two maps in place of one: logits = W2 tanh(W1 x), with so many values between, at most 512. Absent: one. */
  readonly inner?: number;
  /** Logits are divided by their own standard deviation, that of a sample, and multiplied by this. Absent: they stay as they are. */
  readonly deviation?: number;
  /**
   * The router carries a state of so many values from layer to layer: s = W x + b, and behind the first plus gains times the s of the MoE layer before. Logits
   * are a map of two layers of GELU, as wide, of the normed s. Absent: a map of x.
   */
  readonly state?: number; // R
  /** Added to the logits (gpt-oss). */
  readonly logitBias: boolean;
  /** Added to the scores for selection only; weights come from the scores without it. */
  readonly selectionBias: boolean;
  readonly groups: {
    readonly count: number;
    readonly keep: number;
    /** A group's score: its largest key, or the sum of its two largest. */
    readonly rank: 'max' | 'top2-sum';
    /** What keys of dropped groups become. */
    readonly dropped: 'zero' | 'minus-infinity';
  } | null;
  /** Divide the K weights by (their sum + epsilon), or by their sum, which counts as `least` when it is smaller. */
  readonly renormalize: { readonly epsilon: number } | { readonly least: number } | null;
  readonly scale: number;
  /** Besides, by a number of each expert. Default false. */
  readonly expertScale?: boolean;
  /** The router's norm has gains of its own, which hold `scale` / sqrt(D). Default false: it reads what experts read. */
  readonly gains?: boolean;
}
