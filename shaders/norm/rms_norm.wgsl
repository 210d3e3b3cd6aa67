// norm/rms_norm: out[t,d] = x[t,d] * rsqrt(mean over d of x[t,d]^2 + EPS) * gamma[d] (* OUT_SCALE + residual[t,d] with RESIDUAL, and all of it * total[0] with TOTAL), over D values starting
//   at X_AT of a row of X_ROW; GROUPS stretches of D, one after the other, are normed each by itself
// in   x [T,X_ROW] f32   gamma [GROUPS D] f32   residual [T,GROUPS D] f32   total [1] f32
// out  out [T,GROUPS D] f32
// grid [T GROUPS folded], workgroup 64; one workgroup a stretch of a token
// num  f32 sums: per lane in d order, then a fixed tree; same bits every run
// cost reads 2 D + D, writes D words a stretch
// twin src/reference/norm/rms_norm.ts   entry src/kernels/norm/rms_norm.ts
#import shared/step
#import shared/fold
#if SUBGROUPS
enable subgroups;
#endif
override D: u32;
override X_ROW: u32;
override X_AT: u32;
override EPS: f32;
override GROUPS: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> gamma: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
#if RESIDUAL
override OUT_SCALE: f32;
@group(0) @binding(3) var<storage, read> residual: array<f32>;
#endif
#if TOTAL
@group(0) @binding(4) var<storage, read> total: array<f32>;
#endif

const WG: u32 = 64u;
var<workgroup> partial: array<f32, WG>;

@compute @workgroup_size(WG)
fn rms_norm(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
#if SUBGROUPS
  @builtin(subgroup_size) subgroup: u32,
#endif
) {
  let id = folded(workgroup, workgroups);
  let t = id / GROUPS;
  let from_gamma = (id % GROUPS) * D;
  if (t >= u_step.tokens) { return; }
  let from_x = t * X_ROW + X_AT + from_gamma;
  var sum = 0.0;
  for (var i = 0u; i < (D + WG - 1u) / WG; i++) {
    let d = i * WG + lane;
    if (d < D) {
      let v = x[from_x + d];
      sum += v * v;
    }
  }
#if SUBGROUPS
  partial[lane] = subgroupAdd(sum);
  workgroupBarrier();
  var square = 0.0;
  for (var i = 0u; i < WG; i++) {
    if (i * subgroup >= WG) { break; }
    square += partial[i * subgroup];
  }
#else
  partial[lane] = sum;
  workgroupBarrier();
  for (var width = WG / 2u; width > 0u; width >>= 1u) {
    if (lane < width) { partial[lane] += partial[lane + width]; }
    workgroupBarrier();
  }
  let square = partial[0];
#endif
  let scale = inverseSqrt(square / f32(D) + EPS);
  for (var i = 0u; i < (D + WG - 1u) / WG; i++) {
    let d = i * WG + lane;
    if (d < D) {
      var y = x[from_x + d] * scale * gamma[from_gamma + d];
#if RESIDUAL
      y = y * OUT_SCALE + residual[id * D + d];
#endif
#if TOTAL
      y *= total[0];
#endif
      out[id * D + d] = y;
    }
  }
}
