import type { KvFormat } from '../../config/kv-format.ts';
import type { GroupedAttention } from '../../config/model-config.ts';
import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import { invariant } from '../../util/assert.ts';
import { assertFits } from './capacity.ts';
import { kvAccess } from './kv_format.ts';

export interface AttentionBiased {
  readonly q: BufferView; // [T, H, A]
  /** Of the step's own tokens too, unless they see an encoded text. */
  readonly kCache: BufferView; // [Hk, capacity, A] in the format `kv`
  readonly vCache: BufferView; // [Hk, capacity, A]
  readonly out: BufferView; // [T, H, A]
  /** Only with a bias: what each head adds for a bucket, and the bucket of each distance, from `bucketTable`. */
  readonly bias?: BufferView; // [buckets, H]
  readonly buckets?: BufferView; // [2 furthest + 1] u32
  /** One learned logit a head, where the config has them. */
  readonly sinks?: BufferView; // [H]
  /** Tokens of the encoded text, where that is what is seen. */
  readonly encoded?: BufferView; // [1] u32
}

export interface AttentionBiasedShape {
  readonly attention: Pick<GroupedAttention, 'heads' | 'kvHeads' | 'headSize' | 'scale' | 'sees' | 'distanceBias'> &
    Partial<Pick<GroupedAttention, 'window' | 'sinks'>>;
  /** Positions that the caches hold. */
  readonly capacity: number;
  /** Default `f32`. */
  readonly kv?: KvFormat | undefined;
}

/** out[t, h] = Σ softmax(scale q[t, h]·k[j] + bias[bucket of j - position - t, h]) v[j] over the keys j that `sees` names. */
export function attentionBiased(
  recorder: Recorder,
  label: string,
  { kCache, vCache, ...io }: AttentionBiased,
  { attention, capacity, kv = 'f32' }: AttentionBiasedShape,
): void {
  const {
    heads,
    kvHeads,
    headSize: size,
    scale,
    sees = 'before',
    distanceBias,
    window: span = null,
    sinks = false,
  } = attention;
  const window = sees === 'encoded' ? null : span;
  invariant(sinks === (io.sinks !== undefined), `${label}: sinks and config disagree`);
  invariant((distanceBias === undefined) === (io.bias === undefined), `${label}: a bias and config disagree`);
  invariant((distanceBias === undefined) === (io.buckets === undefined), `${label}: a bias without its buckets`);
  invariant((sees === 'encoded') === (io.encoded !== undefined), `${label}: an encoded text and config disagree`);
  const [k, v] = (['k_', 'v_'] as const).map((prefix) => kvAccess(kv, prefix, { size, quads: false, writes: false }));
  recorder.dispatch({
    shader: 'attention/attention_biased',
    label,
    constants: {
      HEADS: heads,
      KV_HEADS: kvHeads,
      SIZE: size,
      CAPACITY: capacity,
      SCALE: scale,
      WHOLE: sees === 'step',
      ENCODED: sees === 'encoded',
      SINKS: sinks,
      WINDOWED: window !== null,
      ...(window !== null && { WINDOW: window }),
      BIASED: distanceBias !== undefined,
      ...(distanceBias && { FURTHEST: distanceBias.furthest, BUCKETS: distanceBias.buckets }),
      ...k!.constants,
      ...v!.constants,
    },
    imports: { ...k!.imports, ...v!.imports },
    bindings: { k_cache: kCache, v_cache: vCache, ...io },
    grid: (step) => {
      assertFits(label, step, capacity);
      return [step.tokens, heads, 1];
    },
  });
}
