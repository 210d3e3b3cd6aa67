// norm/layer_norm: out[t,d] = (x[t,d] - m) * rsqrt(mean over d of (x[t,d] - m)^2 + EPS) * gains[d] (+ gains[D + d]), m the mean over d of x[t,d]
// in   x [T,D] f32   gains [D] f32, with BIAS [2 D]: biases behind
// out  out [T,D] f32
// grid [T folded], workgroup 64; one workgroup a token
// num  f32; the mean first, then the squares around it; sums per lane in d order, then a fixed tree; same bits every run
// cost reads 4 D to 5 D, writes D words a token
// twin src/reference/norm/layer_norm.ts   entry src/kernels/norm/layer_norm.ts
#import shared/step
#import shared/fold
override D: u32;
override EPS: f32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> gains: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

const WG: u32 = 64u;
const TRIPS: u32 = (D + WG - 1u) / WG;
var<workgroup> partial: array<f32, WG>;

fn mean_of_all(lane: u32, own: f32) -> f32 {
  partial[lane] = own;
  workgroupBarrier();
  for (var width = WG / 2u; width > 0u; width >>= 1u) {
    if (lane < width) { partial[lane] += partial[lane + width]; }
    workgroupBarrier();
  }
  let mean = partial[0] / f32(D);
  workgroupBarrier();
  return mean;
}

@compute @workgroup_size(WG)
fn layer_norm(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = folded(workgroup, workgroups);
  if (t >= u_step.tokens) { return; }
  var sum = 0.0;
  for (var i = 0u; i < TRIPS; i++) {
    let d = i * WG + lane;
    if (d < D) { sum += x[t * D + d]; }
  }
  let center = mean_of_all(lane, sum);
  var squares = 0.0;
  for (var i = 0u; i < TRIPS; i++) {
    let d = i * WG + lane;
    if (d < D) {
      let v = x[t * D + d] - center;
      squares += v * v;
    }
  }
  let scale = inverseSqrt(mean_of_all(lane, squares) + EPS);
  for (var i = 0u; i < TRIPS; i++) {
    let d = i * WG + lane;
    if (d < D) {
      var y = (x[t * D + d] - center) * scale * gains[d];
#if BIAS
      y += gains[D + d];
#endif
      out[t * D + d] = y;
    }
  }
}
