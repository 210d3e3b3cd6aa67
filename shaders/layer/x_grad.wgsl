// layer/x_grad: dx[t,d]: through the experts of a token's pairs, through identities, and through the router
// in   arena: see layer/act_grad   dpre [P,2F]   row_of_pair [P]   routed [T,2 ALL]   dlogits [T,M]   router [M,D]   dout [T,D]   u_gate (jitter)
// out  dx [T,D] f32
// grid [D / 64, T], workgroup 64; one lane a value
// num  f32: pairs ascending, then rows of the router
// cost reads 4 F words a pair and 2 M a token
// twin src/reference/layer/backward.ts   entry src/kernels/layer/backward.ts
#if JITTERED
#import layer/jitter_factor
#endif
override D: u32;
override F: u32;
override ALL: u32;
override X: u32;
override M: u32;
override RESIDUAL_ROWS: u32;
override EXPERT_WORDS: u32;
override GATE_UP_AT: u32;
override GATE_UP_ROW: u32;

@group(0) @binding(0) var<storage, read> arena: array<f32>;
@group(0) @binding(1) var<storage, read> dpre: array<f32>;
@group(0) @binding(2) var<storage, read> row_of_pair: array<u32>;
@group(0) @binding(3) var<storage, read> routed: array<u32>;
@group(0) @binding(4) var<storage, read> dlogits: array<f32>;
@group(0) @binding(5) var<storage, read> router: array<f32>;
@group(0) @binding(6) var<storage, read> dout: array<f32>;
@group(0) @binding(7) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn x_grad(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let t = workgroup.y;
  let d = workgroup.x * 64u + lane;
  if (d >= D) { return; }
  var sum = 0.0;
  for (var k = 0u; k < ALL; k++) {
    let id = routed[2u * t * ALL + k];
    if (id == X + 1u) { sum += bitcast<f32>(routed[(2u * t + 1u) * ALL + k]) * dout[t * D + d]; }
    if (id >= X) { continue; }
    let row = row_of_pair[t * ALL + k] * 2u * F;
    let matrix = id * EXPERT_WORDS + GATE_UP_AT + d;
    for (var n = 0u; n < 2u * F; n++) { sum += dpre[row + n] * arena[matrix + n * GATE_UP_ROW]; }
  }
  var scored = 0.0;
  for (var m = 0u; m < M - RESIDUAL_ROWS; m++) { scored += dlogits[t * M + m] * router[m * D + d]; }
#if JITTERED
  scored *= jitter_factor(t, d);
#endif
  for (var m = M - RESIDUAL_ROWS; m < M; m++) { scored += dlogits[t * M + m] * router[m * D + d]; }
  dx[t * D + d] = sum + scored;
}
