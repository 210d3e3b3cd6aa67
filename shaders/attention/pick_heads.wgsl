// attention/pick_heads: of the q heads of EXPERTS experts, those of the TOP_K with the largest logits: picked = their heads, then k and v
//   a row of x: q of each expert [EXPERTS,GROUP,SIZE], k [GROUP,SIZE], v [GROUP,SIZE], logits [EXPERTS]
//   a row of picked: head j TOP_K + i is head j of the i-th expert, so that neighbours share k and v; then k, v
// in   x [T,X_ROW] f32
// out  picked [T,(TOP_K + 2) GROUP SIZE] f32   chosen u32 [T,2 TOP_K]: ids by descending logit, then the bits of softmax over their logits
// grid [T folded], workgroup 64; one workgroup a token
// num  f32; ties go to the lower id
// cost reads and writes (TOP_K + 2) GROUP SIZE words a token
// twin src/reference/attention/pick_heads.ts   entry src/kernels/attention/pick_heads.ts
#import shared/step
#import shared/fold
override EXPERTS: u32;
override TOP_K: u32;
override GROUP: u32;
override SIZE: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> picked: array<f32>;
@group(0) @binding(2) var<storage, read_write> chosen: array<u32>;

const WG: u32 = 64u;
const VALUES: u32 = GROUP * SIZE;
const X_ROW: u32 = (EXPERTS + 2u) * VALUES + EXPERTS;
const OUT_ROW: u32 = (TOP_K + 2u) * VALUES;
var<workgroup> best: array<u32, TOP_K>;

fn logit(t: u32, e: u32) -> f32 {
  return x[t * X_ROW + (EXPERTS + 2u) * VALUES + e];
}

fn place_of(t: u32, e: u32) -> u32 {
  let mine = logit(t, e);
  var place = 0u;
  for (var other = 0u; other < EXPERTS; other++) {
    let theirs = logit(t, other);
    if (theirs > mine || (theirs == mine && other < e)) { place++; }
  }
  return place;
}

/// Where value d of the picked row lies in a row of x.
fn source_of(d: u32) -> u32 {
  let head = d / SIZE;
  if (head >= TOP_K * GROUP) { return d - TOP_K * VALUES + EXPERTS * VALUES; }
  return best[head % TOP_K] * VALUES + head / TOP_K * SIZE + d % SIZE;
}

@compute @workgroup_size(WG)
fn pick_heads(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = folded(workgroup, workgroups);
  if (t >= u_step.tokens) { return; }
  for (var i = 0u; i < (EXPERTS + WG - 1u) / WG; i++) {
    let e = i * WG + lane;
    if (e < EXPERTS) {
      let place = place_of(t, e);
      if (place < TOP_K) { best[place] = e; }
    }
  }
  workgroupBarrier();
  if (lane < TOP_K) {
    let top = logit(t, best[0]);
    var total = 0.0;
    for (var k = 0u; k < TOP_K; k++) { total += exp(logit(t, best[k]) - top); }
    chosen[t * 2u * TOP_K + lane] = best[lane];
    chosen[t * 2u * TOP_K + TOP_K + lane] = bitcast<u32>(exp(logit(t, best[lane]) - top) / total);
  }
  for (var i = 0u; i < (OUT_ROW + WG - 1u) / WG; i++) {
    let d = i * WG + lane;
    if (d < OUT_ROW) { picked[t * OUT_ROW + d] = x[t * X_ROW + source_of(d)]; }
  }
}
