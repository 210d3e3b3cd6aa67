// Latent attention in attention_decode: its q, k and v are those of one kv head, the latents, that all query heads share (see attention/kv_up).
//   q = [W_k^T of the head's nope part ; its rope part, turned]   k = a row of the cache   v = the first KV_RANK values of it
// The importer has WG, UNITS, `queries`, `lane_sum`.
#import attention/kv_raise
#import attention/latent_row
override Q_ROW: u32; // of q_raw: HEADS (NOPE + ROPE) values of q first

@group(0) @binding(0) var<storage, read> q_raw: array<f32>; // q, and behind it the latent and the rope key

fn down_value(at: u32) -> f32 { return q_raw[at]; }

const RANK_UNITS: u32 = KV_RANK / 4u;
/// Lanes that share a chunk of 32 columns: each takes every fourth row.
const SLICES: u32 = 4u;
const SLICE_CHUNKS: u32 = WG / SLICES;

/// Makes row `r` of `queries`: that of a head of token t. All lanes call it together.
fn absorb(t: u32, head: u32, r: u32, lane: u32, position: u32) {
  let start = t * Q_ROW + head * (NOPE + ROPE);
  for (var i = 0u; i < (ROPE / 4u + WG - 1u) / WG; i++) {
    let u = i * WG + lane;
    if (u < ROPE / 4u) {
      let d = 4u * u;
      queries[r * UNITS + RANK_UNITS + u] = vec4<f32>(
        turned_query(start + NOPE, d, position),
        turned_query(start + NOPE, d + 1u, position),
        turned_query(start + NOPE, d + 2u, position),
        turned_query(start + NOPE, d + 3u, position),
      );
    }
  }
  let slice = lane / SLICE_CHUNKS;
  for (var trip = 0u; trip < (W_CHUNKS + SLICE_CHUNKS - 1u) / SLICE_CHUNKS; trip++) {
    let chunk = trip * SLICE_CHUNKS + lane % SLICE_CHUNKS;
    var sum = array<vec4<f32>, 8>();
    if (chunk < W_CHUNKS) {
      for (var i = 0u; i < (NOPE + SLICES - 1u) / SLICES; i++) {
        let n = i * SLICES + slice;
        if (n < NOPE) {
          let row = head * HEAD_ROWS + n;
          sum = plus(sum, q_raw[start + n] * weight_scale(0u, row, chunk), unscaled32(0u, row, chunk));
        }
      }
    }
    for (var s = 0u; s < SLICES; s++) {
      if (slice == s && chunk < W_CHUNKS) {
        for (var i = 0u; i < 8u; i++) {
          let u = chunk * 8u + i;
          let at = r * UNITS + u;
          if (u < RANK_UNITS) { queries[at] = select(queries[at], vec4<f32>(), s == 0u) + sum[i]; }
        }
      }
      workgroupBarrier();
    }
  }
}

/// Of the norm of token t's latent. All lanes call it together.
fn latent_scale(t: u32, lane: u32) -> f32 {
  var square = 0.0;
  for (var i = 0u; i < (KV_RANK + WG - 1u) / WG; i++) {
    let k = i * WG + lane;
    if (k < KV_RANK) {
      let x = q_raw[t * DOWN_ROW + LATENT_AT + k];
      square += x * x;
    }
  }
  return inverseSqrt(lane_sum(square, lane) / f32(KV_RANK) + EPS);
}
