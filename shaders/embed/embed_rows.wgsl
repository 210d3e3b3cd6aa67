// embed/embed_rows: out[t,d] = W[ids[t] - FIRST_ROW, d] (* SCALE), for a table W or a part of one that starts at row FIRST_ROW of it;
//   with SINUSOIDS, + sinusoids[position + t, d].
//   The part with FIRST_ROW = 0 clamps ids to its last row; other parts leave tokens that are not theirs alone. Whole or in parts, recorded in
//   order, the table gives every token a row, and no id reads out of bounds.
// in   ids [T] u32   W [N,D] any weight format   sinusoids [context,D] f32
// out  out [T,D] f32
// grid [T folded], workgroup 64; one workgroup a token, one lane a chunk of 32
// num  exact, up to the weight format's one product, that with SCALE and one sum
// cost reads one row of W, with SINUSOIDS D words more, writes D words a token
// twin src/reference/embed/embed_rows.ts   entry src/kernels/embed/embed_rows.ts
#import shared/step
#import shared/fold
#import weight_format
override D: u32;
override N: u32;
#if LATER_PART
override FIRST_ROW: u32;
#endif
#if SCALED
override SCALE: f32;
#else
const SCALE: f32 = 1.0;
#endif

@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> scales: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
#if SINUSOIDS
@group(0) @binding(4) var<storage, read> sinusoids: array<f32>;
#endif

const WG: u32 = 64u;

fn scale_word(at: u32) -> u32 { return scales[at]; }

@compute @workgroup_size(WG)
fn embed_rows(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = folded(workgroup, workgroups);
  if (t >= u_step.tokens) { return; }
#if LATER_PART
  let row = ids[t] - FIRST_ROW; // an earlier part's id wraps to a large one
  if (row >= N) { return; }
#else
  let row = min(ids[t], N - 1u);
#endif
  for (var i = 0u; i < (W_CHUNKS + WG - 1u) / WG; i++) {
    let chunk = i * WG + lane;
    if (chunk < W_CHUNKS) {
      let w = weight32(0u, row, chunk);
      for (var j = 0u; j < 32u; j++) {
        let d = chunk * 32u + j;
        if (d < D) { out[t * D + d] = w[j / 4u][j % 4u] * SCALE; }
#if SINUSOIDS
        if (d < D) { out[t * D + d] += sinusoids[(u_step.position + t) * D + d]; }
#endif
      }
    }
  }
}
