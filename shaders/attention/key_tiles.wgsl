// ROWS query heads of one kv head, which are in `queries`, against a stretch of its keys, TILE a turn, by one workgroup of 64: LANES lanes share a key,
// and a score is as many chains over d and their sum. `running_max` goes from turn to turn, as do the caller's sums and denominators, which fade as it grows.
// The importer says where keys lie: `Keys`, and for it `row_of` key base + j, j < TILE; `key_unit` and `value_at` of a row; and `begin_turn` and `end_turn`,
// which all lanes call together, around what reads them. Past the last key it gives the last one's row: memory there was never written, and its weight
// is 0, but 0 * NaN is NaN.
#import shared/score
override KEY_SIZE: u32;
override VALUE_SIZE: u32;
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
// A row longer by one keeps lanes that share a key off each other's banks.
var<workgroup> shares: array<f32, ROWS * LANES * (TILE + 1u)>;   // [row][lane of the key][key]
var<workgroup> scores: array<f32, SCORES>;
var<workgroup> weights: array<f32, SCORES>;
var<workgroup> running_max: array<f32, ROWS>;
var<workgroup> next_max: array<f32, ROWS>;
var<workgroup> decay: array<f32, ROWS>;

/// Keys [begin, end).
fn attend_tiles(
  keys: Keys,
  begin: u32,
  end: u32,
  lane: u32,
  denominator: ptr<function, array<f32, ROWS>>,
  sums: ptr<function, array<f32, ROWS * DIMS>>,
) {
  for (var base = begin; base < end; base += TILE) {
    begin_turn(keys, base, lane);
    // The zeros are written out: Tint keeps the last turn's values in a variable declared bare inside a loop.
    var share = array<f32, ROWS * TURNS>();
    for (var i = 0u; i < UNIT_TRIPS; i++) {
      let u = i * LANES + lane % LANES;
      if (u < UNITS) {
        var k: array<Unit, TURNS>;
        for (var n = 0u; n < TURNS; n++) { k[n] = key_unit(row_of(keys, n * (WG / LANES) + lane / LANES, base), u); }
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
      (*denominator)[r] *= decay[r];
      for (var i = 0u; i < DIMS; i++) { (*sums)[r * DIMS + i] *= decay[r]; }
    }
    for (var j = 0u; j < TILE; j++) {
      let row = row_of(keys, j, base);
      var value: array<f32, DIMS>;
      for (var i = 0u; i < DIMS; i++) { value[i] = value_at(row, min(i * WG + lane, VALUE_SIZE - 1u)); }
      for (var r = 0u; r < ROWS; r++) {
        let weight = weights[r * TILE + j];
        (*denominator)[r] += weight;
        for (var i = 0u; i < DIMS; i++) { (*sums)[r * DIMS + i] += weight * value[i]; }
      }
    }
    end_turn();
  }
}
