// layer/place: kept[t,k] = 1 when fewer than capacity pairs of the same expert come before; zero experts are never full
// in   chosen [T,K]: see layer/choose   priority [T,K] f32   u_gate
// out  kept [T,K] u32
// grid [T K / 64], workgroup 64; one lane a pair
// num  integers, and f32 that are only compared: a higher priority first, then the order of the batch
// cost (T K)^2 comparisons, T^2 E where experts choose
// twin src/reference/layer/place.ts   entry src/kernels/layer/place.ts
#import shared/step
#import shared/fold
#import layer/gate
override E: u32;
override K: u32;

@group(0) @binding(0) var<storage, read> chosen: array<u32>;
@group(0) @binding(1) var<storage, read> priority: array<f32>;
@group(0) @binding(2) var<storage, read_write> kept: array<u32>;

const UNUSED: u32 = 0x80000000u;

/// Place in the batch: all first choices before all second ones, or token by token.
fn order_of(pair: u32) -> u32 {
#if TOKEN_ORDER
  return pair;
#else
  return (pair % K) * u_step.tokens + pair / K;
#endif
}

fn before(a: u32, b: u32) -> bool {
  return priority[a] > priority[b] || (priority[a] == priority[b] && order_of(a) < order_of(b));
}

@compute @workgroup_size(64)
fn place(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let pair = folded(workgroup, workgroups) * 64u + lane;
  let pairs = u_step.tokens * K;
  if (pair >= pairs) { return; }
  let id = chosen[pair] & ~UNUSED;
  var rank = 0u;
  if (id < E) {
#if ALL
    for (var other = id; other < pairs; other += K) {
      if (before(other, pair)) { rank++; }
    }
#else
    for (var other = 0u; other < pairs; other++) {
      if ((chosen[other] & ~UNUSED) == id && before(other, pair)) { rank++; }
    }
#endif
  }
  let fits = id >= E || rank < u_gate.capacity;
  kept[pair] = u32(fits && (chosen[pair] & UNUSED) == 0u);
}
