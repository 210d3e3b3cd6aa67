// attention/attention_paged: attention of tokens of many sequences, whose keys lie in pages: for row t of the sequence and position that `rows` names,
//   out[t,h] = softmax over visible j of (SCALE q[t,h] . k[j]) times v[j]; visible j as shared/visible says, scores as shared/score; a sink joins the denominator only
//   head h reads kv head h / (HEADS / KV_HEADS); key j of a sequence is token j % PAGE of the page at j / PAGE of its list
// in   q [T,HEADS,KEY_SIZE] f32   k_pages [pages,KV_HEADS,PAGE,KEY_SIZE] f32   v_pages [pages,KV_HEADS,PAGE,V_ROW] f32   sinks [HEADS] f32
//      rows u32: [T,4] position, place, first word of its list of pages, 0; the lists somewhere behind
// out  out [T,HEADS,VALUE_SIZE] f32
// grid [HEADS / ROWS, T], workgroup 64; one workgroup ROWS query heads of one kv head of a token, walking over its keys by 32
// num  f32; a score is 8 chains over d and their sum; running maximum and sum, tiles in key order from the first visible key. What a row gives depends on
//      its sequence up to its position and on nothing else: not on the other rows, nor on where pages lie
// cost reads n (KEY_SIZE + VALUE_SIZE) words for 2 ROWS n (KEY_SIZE + VALUE_SIZE) flops, n the visible keys; rows share nothing
// twin src/reference/attention/attention_paged.ts   entry src/kernels/attention/attention_paged.ts
#import shared/step
#import shared/visible
#import attention/key_tiles
override HEADS: u32;
override KV_HEADS: u32;
override V_ROW: u32;     // values are the first of so many: a latent is key and value
override PAGE: u32;

@group(0) @binding(0) var<storage, read> q: array<Unit>;
@group(0) @binding(1) var<storage, read> k_pages: array<Unit>;
@group(0) @binding(2) var<storage, read> v_pages: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read> rows: array<u32>;
#if SINKS
@group(0) @binding(5) var<storage, read> sinks: array<f32>;
#endif

/// A sequence's pages from word `list` of `rows` on, and the last position that counts.
struct Keys { list: u32, kv_head: u32, last: u32 }
/// Of the turn's keys, where each lies: a row of [pages, KV_HEADS, PAGE].
var<workgroup> places: array<u32, TILE>;
fn begin_turn(keys: Keys, base: u32, lane: u32) {
  if (lane < TILE) {
    let j = min(base + lane, keys.last);
    places[lane] = (rows[keys.list + j / PAGE] * KV_HEADS + keys.kv_head) * PAGE + j % PAGE;
  }
  workgroupBarrier();
}
fn row_of(keys: Keys, j: u32, base: u32) -> u32 { return places[j]; }
fn key_unit(row: u32, u: u32) -> Unit { return k_pages[row * UNITS + u]; }
fn value_at(row: u32, d: u32) -> f32 { return v_pages[row * V_ROW + d]; }
fn end_turn() { workgroupBarrier(); } // before the next turn's places

@compute @workgroup_size(WG)
fn attention_paged(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = workgroup.y;
  if (t >= u_step.tokens) { return; }
  let position = rows[4u * t];
  let list = rows[4u * t + 2u];
  let end = position + 1u;
  let first_head = workgroup.x * ROWS;
  let kv_head = first_head / (HEADS / KV_HEADS);
  let from_q = (t * HEADS + first_head) * UNITS;
  for (var i = 0u; i < (ROWS * UNITS + WG - 1u) / WG; i++) {
    let at = i * WG + lane;
    if (at < ROWS * UNITS) { queries[at] = q[from_q + at]; }
  }
  var denominator: array<f32, ROWS>;
  var sums: array<f32, ROWS * DIMS>;
  if (lane < ROWS) { running_max[lane] = NOTHING; }
#if SINKS
  if (lane < ROWS) { running_max[lane] = sinks[first_head + lane]; }
  for (var r = 0u; r < ROWS; r++) { denominator[r] = 1.0; }
#endif

  let keys = Keys(list, kv_head, position);
  attend_tiles(keys, first_visible(position), end, lane, &denominator, &sums);

  for (var r = 0u; r < ROWS; r++) {
    for (var i = 0u; i < DIMS; i++) {
      let d = i * WG + lane;
      if (d < VALUE_SIZE) { out[(t * HEADS + first_head + r) * VALUE_SIZE + d] = sums[r * DIMS + i] / denominator[r]; }
    }
  }
}
