// attention/attention_reduce: joins the splits of attention_decode: with m = max over splits s of max_s,
//   out[t,h] = sum over s of exp(max_s - m) sums_s / sum over s of exp(max_s - m) denominator_s, the sink in m and the denominator
//   with RAISES, of latents, each head's result goes up through its value rows: out[t,h] = W_v that
// in   partials [T,HEADS,SPLITS,VALUE_SIZE + 2] f32: unnormalised sums, maximum, denominator   sinks [HEADS] f32
// out  out [T,HEADS,VALUE_SIZE] f32, or with RAISES [T,HEADS,VALUE]
// grid [HEADS, ceil(VALUE_SIZE / 64), T], workgroup 64; one lane a value; not launched when the step's keys lie in one split
//      with RAISES [HEADS, ceil(VALUE / (PASSES PASS_ROWS)), T], each with all of the join
// num  f32, splits in key order; same bits every run
// cost reads (VALUE_SIZE + 2) words a split
// twin src/reference/attention/attention.ts   entry src/kernels/attention/attention.ts
#import shared/step
#import shared/visible
override HEADS: u32;
override VALUE_SIZE: u32;
override CHUNK: u32;
override SPLITS: u32;

@group(0) @binding(0) var<storage, read> partials: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
#if SINKS
@group(0) @binding(2) var<storage, read> sinks: array<f32>;
#endif

#if RAISES
#import attention/kv_raise
override PASSES: u32;
var<workgroup> shares: array<f32, 4u * WG>;
#endif

const WG: u32 = 64u;
const ROW: u32 = VALUE_SIZE + 2u;
const NOTHING: f32 = -1.0e38; // below any score, finite

/// What joins the splits of one head of one token: the top of their maxima, and what divides the sums.
struct Join {
  start: u32,
  first: u32,
  last: u32,
  top: f32,
  denominator: f32,
}

fn join_of(t: u32, head: u32) -> Join {
  let position = u_step.position + t;
  let first = first_visible(position) / CHUNK;
  let last = position / CHUNK;
  let start = (t * HEADS + head) * SPLITS;
#if SINKS
  let sink = sinks[head];
#else
  let sink = NOTHING;
#endif
  var top = sink;
  for (var s = first; s <= last; s++) { top = max(top, partials[(start + s) * ROW + VALUE_SIZE]); }
  var denominator = 0.0;
#if SINKS
  denominator = exp(sink - top);
#endif
  for (var s = first; s <= last; s++) {
    let at = (start + s) * ROW;
    denominator += exp(partials[at + VALUE_SIZE] - top) * partials[at + VALUE_SIZE + 1u];
  }
  return Join(start, first, last, top, denominator);
}

fn joined(join: Join, d: u32) -> f32 {
  var sum = 0.0;
  for (var s = join.first; s <= join.last; s++) {
    let at = (join.start + s) * ROW;
    sum += exp(partials[at + VALUE_SIZE] - join.top) * partials[at + d];
  }
  return sum / join.denominator;
}

@compute @workgroup_size(WG)
fn attention_reduce(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let head = workgroup.x;
  let t = workgroup.z;
  if (t >= u_step.tokens) { return; }
  let join = join_of(t, head);
  if (join.first == join.last) { return; } // attention_decode wrote it
#if RAISES
  for (var i = 0u; i < (W_CHUNKS * 32u + WG - 1u) / WG; i++) {
    let d = i * WG + lane;
    if (d < W_CHUNKS * 32u) {
      var x = 0.0;
      if (d < VALUE_SIZE) { x = joined(join, d); }
      lifted[d] = x;
    }
  }
  workgroupBarrier();
  raise(head, workgroup.y * PASSES * PASS_ROWS, PASSES, (t * HEADS + head) * VALUE, lane);
#else
  let d = workgroup.y * WG + lane;
  if (d < VALUE_SIZE) { out[(t * HEADS + head) * VALUE_SIZE + d] = joined(join, d); }
#endif
}
