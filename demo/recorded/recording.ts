/** A chat that a model once had, as scripts/record-session.mjs writes it: texts, times, and the routing of every token. */
import type { GenerateSummary, LayerRouting, Plan, SamplingDefault } from '../../src/index.ts';

export interface RecordedTurn {
  readonly question: string;
  /** The answer; the texts of its tokens, joined. */
  readonly text: string;
  readonly end: Pick<
    GenerateSummary,
    'finishReason' | 'promptTokens' | 'cachedTokens' | 'generatedTokens' | 'timeToFirstTokenMs' | 'tokensPerSecond'
  >;
  /** Since the question was asked, by token. */
  readonly ms: readonly number[]; // [T]
  readonly tokenIds: readonly number[]; // [T]
  readonly tokens: readonly string[]; // [T]
  /** In base64, one byte each, in rank order. */
  readonly ids: string; // [T, L, K]
  /** The same for the router's weights: 255 stands for `weightScale`. */
  readonly weights: string; // [T, L, K]
  readonly weightScale: number;
}

export interface Recording {
  readonly format: 'webmoe-recording';
  readonly version: 1;
  readonly id: string;
  readonly recordedAt: string;
  readonly model: {
    readonly name: string;
    /** Of its file: `sha256:` and the first 16 digits. */
    readonly revision: string;
    /** How the weights are published. */
    readonly weights: string;
    readonly precision: Plan['precision'];
  };
  /** On which the times were taken. */
  readonly adapter: string;
  readonly seed: number;
  readonly sampling: SamplingDefault;
  /** MoE layers only. */
  readonly shape: { readonly layers: number; readonly experts: number; readonly topK: number };
  readonly turns: readonly RecordedTurn[];
}

export interface RecordedToken {
  readonly id: number;
  readonly text: string;
  /** As `GeneratedToken.routing`: one entry a MoE layer, in rank order. */
  readonly routing: readonly LayerRouting[];
}

const bytesOf = (base64: string): Uint8Array => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

/** The tokens of an answer, as a model that runs would give them. */
export function tokensOf(turn: RecordedTurn, { layers, topK }: Recording['shape']): RecordedToken[] {
  const [ids, weights] = [bytesOf(turn.ids), bytesOf(turn.weights)];
  const layerAt = (at: number): LayerRouting => ({
    ids: Uint32Array.from(ids.subarray(at, at + topK)),
    weights: Float32Array.from(weights.subarray(at, at + topK), (w) => (w / 255) * turn.weightScale),
  });
  return turn.tokens.map((text, t) => ({
    id: turn.tokenIds[t]!,
    text,
    routing: Array.from({ length: layers }, (_, l) => layerAt((t * layers + l) * topK)),
  }));
}

const dayOf = (iso: string): string =>
  new Date(iso).toLocaleDateString('en-GB', { day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' });

/** `Recorded on 26 November 2026 from some-model` */
export const originOf = ({ recordedAt, model }: Pick<Recording, 'recordedAt' | 'model'>): string =>
  `Recorded on ${dayOf(recordedAt)} from ${model.name}`;
