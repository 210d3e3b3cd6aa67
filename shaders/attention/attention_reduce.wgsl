// attention/attention_reduce: joins the splits of attention_decode: with m = max over splits s of max_s,
//   out[t,h] = sum over s of exp(max_s - m) sums_s / sum over s of exp(max_s - m) denominator_s, the sink in m and the denominator
// in   partials [T,HEADS,SPLITS,VALUE_SIZE + 2] f32: unnormalised sums, maximum, denominator   sinks [HEADS] f32
// out  out [T,HEADS,VALUE_SIZE] f32
// grid [HEADS, ceil(VALUE_SIZE / 64), T], workgroup 64; one lane a value; not launched when the step's keys lie in one split
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

const WG: u32 = 64u;
const ROW: u32 = VALUE_SIZE + 2u;
const NOTHING: f32 = -1.0e38; // below any score, finite

@compute @workgroup_size(WG)
fn attention_reduce(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let head = workgroup.x;
  let d = workgroup.y * WG + lane;
  let t = workgroup.z;
  if (t >= u_step.tokens || d >= VALUE_SIZE) { return; }
  let position = u_step.position + t;
  let first = first_visible(position) / CHUNK;
  let last = position / CHUNK;
  if (first == last) { return; } // attention_decode wrote it
  let start = (t * HEADS + head) * SPLITS;

#if SINKS
  let sink = sinks[head];
#else
  let sink = NOTHING;
#endif
  var top = sink;
  for (var s = first; s <= last; s++) { top = max(top, partials[(start + s) * ROW + VALUE_SIZE]); }
  var sum = 0.0;
  var denominator = 0.0;
#if SINKS
  denominator = exp(sink - top);
#endif
  for (var s = first; s <= last; s++) {
    let at = (start + s) * ROW;
    let share = exp(partials[at + VALUE_SIZE] - top);
    sum += share * partials[at + d];
    denominator += share * partials[at + VALUE_SIZE + 1u];
  }
  out[(t * HEADS + head) * VALUE_SIZE + d] = sum / denominator;
}
