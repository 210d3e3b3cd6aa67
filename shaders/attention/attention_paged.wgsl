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
#import shared/score
override HEADS: u32;
override KV_HEADS: u32;
override KEY_SIZE: u32;
override VALUE_SIZE: u32;
override V_ROW: u32;     // values are the first of so many: a latent is key and value
override PAGE: u32;
override ROWS: u32;      // query heads of a workgroup; divides HEADS / KV_HEADS

#if VEC4
alias Unit = vec4<f32>;
const UNITS: u32 = KEY_SIZE / 4u;
fn product(a: Unit, b: Unit) -> f32 { return dot(a, b); }
#else
alias Unit = f32;
const UNITS: u32 = KEY_SIZE;
fn product(a: Unit, b: Unit) -> f32 { return a * b; }
#endif

@group(0) @binding(0) var<storage, read> q: array<Unit>;
@group(0) @binding(1) var<storage, read> k_pages: array<Unit>;
@group(0) @binding(2) var<storage, read> v_pages: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read> rows: array<u32>;
#if SINKS
@group(0) @binding(5) var<storage, read> sinks: array<f32>;
#endif

const WG: u32 = 64u;
const TILE: u32 = 32u;                   // keys a turn
const LANES: u32 = 8u;                   // that share a key
const TURNS: u32 = TILE * LANES / WG;    // keys that a lane has a share in
const UNIT_TRIPS: u32 = (UNITS + LANES - 1u) / LANES;
const SCORES: u32 = ROWS * TILE;
const SCORE_TRIPS: u32 = (SCORES + WG - 1u) / WG;
const DIMS: u32 = (VALUE_SIZE + WG - 1u) / WG;
const NOTHING: f32 = -1.0e38; // below any score, finite

var<workgroup> queries: array<Unit, ROWS * UNITS>;
/// Of the turn's keys, where each lies: a row of [pages, KV_HEADS, PAGE].
var<workgroup> places: array<u32, TILE>;
// A row longer by one keeps lanes that share a key off each other's banks.
var<workgroup> shares: array<f32, ROWS * LANES * (TILE + 1u)>;   // [row][lane of the key][key]
var<workgroup> scores: array<f32, SCORES>;
var<workgroup> weights: array<f32, SCORES>;
var<workgroup> running_max: array<f32, ROWS>;
var<workgroup> next_max: array<f32, ROWS>;
var<workgroup> decay: array<f32, ROWS>;

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

  for (var base = first_visible(position); base < end; base += TILE) {
    // Past the end the last key stands in: memory there was never written, and its weight is 0, but 0 * NaN is NaN.
    if (lane < TILE) {
      let j = min(base + lane, position);
      places[lane] = (rows[list + j / PAGE] * KV_HEADS + kv_head) * PAGE + j % PAGE;
    }
    workgroupBarrier();
    // The zeros are written out: Tint keeps the last turn's values in a variable declared bare inside a loop.
    var share = array<f32, ROWS * TURNS>();
    for (var i = 0u; i < UNIT_TRIPS; i++) {
      let u = i * LANES + lane % LANES;
      if (u < UNITS) {
        var k: array<Unit, TURNS>;
        for (var n = 0u; n < TURNS; n++) { k[n] = k_pages[places[n * (WG / LANES) + lane / LANES] * UNITS + u]; }
        for (var r = 0u; r < ROWS; r++) {
          let query = queries[r * UNITS + u];
          for (var n = 0u; n < TURNS; n++) { share[r * TURNS + n] += product(query, k[n]); }
        }
      }
    }
    for (var r = 0u; r < ROWS; r++) {
      for (var n = 0u; n < TURNS; n++) {
        shares[(r * LANES + lane % LANES) * (TILE + 1u) + n * (WG / LANES) + lane / LANES] = share[r * TURNS + n];
      }
    }
    workgroupBarrier();
    for (var i = 0u; i < SCORE_TRIPS; i++) {
      let at = i * WG + lane;
      if (at < SCORES) {
        var score = 0.0;
        for (var n = 0u; n < LANES; n++) { score += shares[(at / TILE * LANES + n) * (TILE + 1u) + at % TILE]; }
        scores[at] = select(NOTHING, scored(score), base + at % TILE < end);
      }
    }
    workgroupBarrier();
    for (var i = 0u; i < SCORE_TRIPS; i++) {
      let at = i * WG + lane;
      if (at < SCORES) {
        let row = at / TILE;
        var top = running_max[row];
        for (var j = 0u; j < TILE; j++) { top = max(top, scores[row * TILE + j]); }
        weights[at] = exp(scores[at] - top);
        if (at % TILE == 0u) {
          decay[row] = exp(running_max[row] - top);
          next_max[row] = top;
        }
      }
    }
    workgroupBarrier();
    if (lane < ROWS) { running_max[lane] = next_max[lane]; }
    for (var r = 0u; r < ROWS; r++) {
      denominator[r] *= decay[r];
      for (var i = 0u; i < DIMS; i++) { sums[r * DIMS + i] *= decay[r]; }
    }
    for (var j = 0u; j < TILE; j++) {
      let start = places[j] * V_ROW;
      var value: array<f32, DIMS>;
      for (var i = 0u; i < DIMS; i++) { value[i] = v_pages[start + min(i * WG + lane, VALUE_SIZE - 1u)]; }
      for (var r = 0u; r < ROWS; r++) {
        let weight = weights[r * TILE + j];
        denominator[r] += weight;
        for (var i = 0u; i < DIMS; i++) { sums[r * DIMS + i] += weight * value[i]; }
      }
    }
    workgroupBarrier(); // before the next turn's places
  }

  for (var r = 0u; r < ROWS; r++) {
    for (var i = 0u; i < DIMS; i++) {
      let d = i * WG + lane;
      if (d < VALUE_SIZE) { out[(t * HEADS + first_head + r) * VALUE_SIZE + d] = sums[r * DIMS + i] / denominator[r]; }
    }
  }
}
