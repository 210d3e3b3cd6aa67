// The matrix W [HEADS (NOPE + VALUE), KV_RANK] that latent attention makes keys and values with: per head NOPE rows of the key, VALUE of the value.
// Nothing is made with it for each token of the cache: a query goes down through the key's rows, what comes out of attention up through the value's.
//   scores  q . (W_k c) = (W_k^T q) . c        output  sum of p (W_v c) = W_v (sum of p c)
#import weight_format
#import shared/dot32
override NOPE: u32;
override VALUE: u32;
override KV_RANK: u32;

/// Its scales come through the same binding: a device guarantees eight.
@group(0) @binding(7) var<storage, read> values: array<vec4<u32>>;

fn scale_word(at: u32) -> u32 { return values[at / 4u][at % 4u]; }

const HEAD_ROWS: u32 = NOPE + VALUE;

/// sum + x w, of 32 weights.
fn plus(sum: array<vec4<f32>, 8>, x: f32, w: array<vec4<f32>, 8>) -> array<vec4<f32>, 8> {
  return array<vec4<f32>, 8>(
    sum[0] + x * w[0],
    sum[1] + x * w[1],
    sum[2] + x * w[2],
    sum[3] + x * w[3],
    sum[4] + x * w[4],
    sum[5] + x * w[5],
    sum[6] + x * w[6],
    sum[7] + x * w[7],
  );
}
