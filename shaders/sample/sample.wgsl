// sample/sample: chooses the next token. From logits l [V]:
//   limits      (LIMITED) b = l + bias when the step says so; a token whose bit of `allowed` is 0 comes after all others and is never drawn
//   penalties   p = b / r or b * r (b > 0 or not) for tokens seen in prompt or answer, then - frequency * times - presence * (times > 0) for those of the answer
//   greedy      temperature 0: the largest p
//   otherwise   w = exp((p - best p) / temperature); keep the top_k largest p, of those the fewest that reach top_p of their sum of w,
//               of those the ones with w >= min_p (the best has w = 1); draw one with probability w / sum of w
//   With ROWS for each of T tokens at once, as if those before it had been drawn one by one and had come out as `ids` has them.
//   Ties everywhere go to the lower id. -inf, NaN and anything up to -1e30 is never chosen unless nothing else is there.
// in   logits [V] f32, with ROWS [T,V]   counts [V]: low 16 bits times generated, bit 31 seen in the prompt   bias [V] f32
//      allowed [V/32]: bit id % 32 of word id / 32   ids [T]: with ROWS, the tokens of the step
// out  sampled [4]: id, f32 bits of log softmax(l)[id] (before limits, penalties and temperature), f32 bits of log sum exp(l - max l), how many logits
//      were NaN or +inf
//      next_ids [0] = id   counts[id] is one more, up to 65,535; with ROWS neither, and sampled is [T,4]
// grid [1], with ROWS [T], workgroup 128
// num  f32; exact selection: no sort, but a search for the last kept token in the order (p falling, id rising), 16 ways at a time: 4 bits of an
//      order-preserving key of p, then 4 bits of the id. The draw is the same search in the order of ids. Sums have a fixed order.
//      The random number is a hash of (seed, position of the new token)
// cost one pass over the logits when greedy; otherwise 1.1 more for the draw and 4 to 8 for each of top_k and top_p that is on.
// twin src/reference/sample/sample.ts   entry src/kernels/sample/sample.ts
#import shared/step
#import shared/logits
override V: u32;
override ID_DIGITS: u32; // 16^ID_DIGITS >= V

#if ROWS
@group(0) @binding(1) var<storage, read> counts: array<u32>;
@group(0) @binding(3) var<storage, read> ids: array<u32>;
#else
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;
@group(0) @binding(3) var<storage, read_write> next_ids: array<u32>;
#endif
@group(0) @binding(2) var<storage, read_write> sampled: array<u32>;
#if LIMITED
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> allowed: array<u32>;
#endif

const WG: u32 = 128u;
const AT_ONCE: u32 = 4u; // loads in flight per lane
const TRIPS: u32 = (V + WG * AT_ONCE - 1u) / (WG * AT_ONCE);
const BINS: u32 = 16u;
const PARTS: u32 = WG / BINS;
const KEY_DIGITS: u32 = 8u;
const FORBIDDEN: f32 = -3e38; // below every other value
const TIMES: u32 = 0xffffu;

const TOP_K: u32 = 0u;
const TOP_P: u32 = 1u;
const DRAW: u32 = 2u;

struct Stats {
  highest: f32, // of the raw logits
  sum: f32,     // of exp(logit - highest)
  key: u32,     // of the best penalised logit
  id: u32,      // of the same
  broken: u32,
}
var<workgroup> stats: array<Stats, WG>;

// Tokens with (key & mask) == key and first <= id < end are being searched for the one where the running sum reaches `goal`.
// As a bound it keeps everything up to and including them.
struct Bracket {
  key: u32,
  mask: u32,
  first: u32,
  end: u32,
  goal: f32,
  done: u32,
}
var<workgroup> bracket: Bracket;
var<workgroup> bins: array<f32, BINS * WG>;
var<workgroup> parts: array<f32, WG>;
var<workgroup> totals: array<f32, BINS>;
var<workgroup> members: atomic<u32>;

#if LIMITED
fn is_biased() -> bool { return (u_step.draw & 1u) != 0u; }
fn is_forbidden(id: u32) -> bool { return (u_step.draw & 2u) != 0u && ((allowed[id >> 5u] >> (id & 31u)) & 1u) == 0u; }

fn limited(id: u32, raw: f32) -> f32 {
  if (is_forbidden(id)) { return FORBIDDEN; }
  if (!is_biased()) { return raw; }
  return clamp(raw + bias[id], MASKED, -MASKED); // beside 1e30 a bias of 100 vanishes
}
#else
fn limited(id: u32, raw: f32) -> f32 { return raw; }
#endif

#if ROWS
fn count_of(id: u32) -> u32 {
  var count = counts[id];
  for (var t = 1u; t <= logits_row; t++) {
    if (ids[t] == id && (count & TIMES) < TIMES) { count++; }
  }
  return count;
}

fn new_position() -> u32 { return u_step.position + logits_row + 1u; }
#else
fn count_of(id: u32) -> u32 { return counts[id]; }
fn new_position() -> u32 { return u_step.position + u_step.tokens; }
#endif

fn penalized(id: u32, from_model: f32) -> f32 {
  let raw = limited(id, from_model);
  let off = u_step.repetition_penalty == 1.0 && u_step.frequency_penalty == 0.0 && u_step.presence_penalty == 0.0;
  if (off || raw <= MASKED) { return raw; }
  let count = count_of(id);
  if (count == 0u) { return raw; }
  let times = count & TIMES;
  let repeated = select(raw * u_step.repetition_penalty, raw / u_step.repetition_penalty, raw > 0.0);
  let lowered = clamp(repeated, MASKED, -MASKED) - u_step.frequency_penalty * f32(times) - select(0.0, u_step.presence_penalty, times > 0u);
  return clamp(lowered, MASKED, -MASKED);
}

fn merged(a: Stats, b: Stats) -> Stats {
  let highest = max(a.highest, b.highest);
  let sum = a.sum * exp(a.highest - highest) + b.sum * exp(b.highest - highest);
  let a_wins = a.key < b.key || (a.key == b.key && a.id < b.id);
  return Stats(highest, sum, select(b.key, a.key, a_wins), select(b.id, a.id, a_wins), a.broken + b.broken);
}

fn gather_stats(lane: u32) {
  var mine = Stats(MASKED, 0.0, 0xffffffffu, 0xffffffffu, 0u);
  for (var i = 0u; i < (V + WG - 1u) / WG; i++) {
    let id = i * WG + lane;
    if (id < V) {
      let raw = logit(id);
      let smaller = exp(-abs(raw - mine.highest));
      mine.sum = select(mine.sum + smaller, mine.sum * smaller + 1.0, raw > mine.highest);
      mine.highest = max(mine.highest, raw);
      mine.broken += select(0u, 1u, is_broken(logit_bits(id)));
      let key = key_of(penalized(id, raw));
      if (key < mine.key) {
        mine.key = key;
        mine.id = id;
      }
    }
  }
  stats[lane] = mine;
  workgroupBarrier();
  for (var width = WG / 2u; width > 0u; width >>= 1u) {
    if (lane < width) { stats[lane] = merged(stats[lane], stats[lane + width]); }
    workgroupBarrier();
  }
}

// In (0, 1), 23 bits: a bijective mixer ("lowbias32") of the position, then of that with the seed.
fn mixed(word: u32) -> u32 {
  var h = word;
  h = (h ^ (h >> 16u)) * 0x7feb352du;
  h = (h ^ (h >> 15u)) * 0x846ca68bu;
  return h ^ (h >> 16u);
}
fn uniform_number() -> f32 {
  let hash = mixed(u_step.seed ^ mixed(new_position() + 0x9e3779b9u));
  return (f32(hash >> 9u) + 0.5) / 8388608.0;
}

fn weight(value: f32, best: f32, stage: u32) -> f32 {
  if (value <= MASKED) { return 0.0; }
  if (stage == TOP_K) { return 1.0; }
  let x = (value - best) / max(u_step.temperature, 1e-6);
  let w = select(0.0, exp(max(x, -80.0)), x > -80.0);
  return select(w, 0.0, stage == DRAW && w < u_step.min_p);
}

// One step of the search: the weight of each of the 16 parts of the bracket.
fn fill_bins(lane: u32, stage: u32, by_id: bool, shift: u32, within: Bracket, kept: Bracket, best: f32) {
  for (var bin = 0u; bin < BINS; bin++) { bins[bin * WG + lane] = 0.0; }
  var mine = 0u;
  for (var trip = 0u; trip < TRIPS; trip++) {
    let base = within.first + trip * WG * AT_ONCE + lane;
    if (base - lane >= within.end) { break; }
    var raws: array<f32, AT_ONCE>;
    for (var j = 0u; j < AT_ONCE; j++) { raws[j] = logit(min(base + j * WG, V - 1u)); }
    for (var j = 0u; j < AT_ONCE; j++) {
      let id = base + j * WG;
      if (id >= within.end) { continue; }
      let value = penalized(id, raws[j]);
      let key = key_of(value);
      let known = key & kept.mask;
      let is_kept = known < kept.key || (known == kept.key && id < kept.end);
      if (!is_kept || (key & within.mask) != within.key) { continue; }
      let w = weight(value, best, stage);
      let bin = select((key >> shift) & 15u, (id - within.first) >> shift, by_id);
      bins[bin * WG + lane] += w;
      mine += select(0u, 1u, w > 0.0);
    }
  }
  atomicAdd(&members, mine);
}

fn sum_bins(lane: u32) {
  workgroupBarrier();
  let from_bin = lane / PARTS;
  var sum = 0.0;
  for (var i = 0u; i < BINS; i++) { sum += bins[from_bin * WG + i * PARTS + lane % PARTS]; }
  parts[lane] = sum;
  workgroupBarrier();
  if (lane < BINS) {
    var total = 0.0;
    for (var i = 0u; i < PARTS; i++) { total += parts[lane * PARTS + i]; }
    totals[lane] = total;
  }
  workgroupBarrier();
}

// The goal of a search, in the unit of its weights.
fn goal_of(stage: u32, total: f32) -> f32 {
  switch (stage) {
    case 0u: { return f32(u_step.top_k); }
    case 1u: { return max(u_step.top_p, 1e-30) * total; } // the search needs a goal above 0
    default: { return uniform_number() * total; }
  }
}

// One lane: go on in the part where the running sum reaches the goal; rounding may leave it short, then in the last that is not empty.
fn narrow(stage: u32, by_id: bool, shift: u32, is_first: bool) {
  var total = 0.0;
  for (var bin = 0u; bin < BINS; bin++) { total += totals[bin]; }
  if (is_first) { bracket.goal = goal_of(stage, total); }
  if (is_first && stage != DRAW && bracket.goal >= total) {
    bracket.done = 1u; // nothing to drop
    return;
  }
  var bin = 0u;
  var before = 0.0;
  var sum = 0.0;
  for (var i = 0u; i < BINS; i++) {
    if (totals[i] > 0.0 && sum < bracket.goal) {
      bin = i;
      before = sum;
    }
    sum += totals[i];
  }
  bracket.goal -= before;
  if (by_id) {
    bracket.first += bin << shift;
    bracket.end = min(bracket.end, bracket.first + (1u << shift));
  } else {
    bracket.key |= bin << shift;
    bracket.mask |= 15u << shift;
  }
  let is_settled = atomicLoad(&members) == 1u || bracket.goal >= totals[bin];
  bracket.done = select(0u, 1u, stage != DRAW && is_settled);
}

fn searched(lane: u32, stage: u32, kept: Bracket, best: f32) -> Bracket {
  let start = select(0u, KEY_DIGITS, stage == DRAW);
  if (lane == 0u) { bracket = Bracket(0u, 0u, 0u, V, 0.0, 0u); }
  for (var digit = start; digit < KEY_DIGITS + ID_DIGITS; digit++) {
    let within = workgroupUniformLoad(&bracket);
    if (within.done != 0u) { break; }
    let by_id = digit >= KEY_DIGITS;
    let shift = 4u * (select(KEY_DIGITS, KEY_DIGITS + ID_DIGITS, by_id) - 1u - digit);
    if (lane == 0u) { atomicStore(&members, 0u); }
    workgroupBarrier();
    fill_bins(lane, stage, by_id, shift, within, kept, best);
    sum_bins(lane);
    if (lane == 0u) { narrow(stage, by_id, shift, digit == start); }
  }
  return workgroupUniformLoad(&bracket);
}

fn drawn(lane: u32, best: f32) -> u32 {
  var found = Bracket(0u, 0u, 0u, V, 0.0, 0u);
  for (var stage = TOP_K; stage <= DRAW; stage++) {
    if (stage == TOP_K && u_step.top_k == 0u) { continue; }
    if (stage == TOP_P && u_step.top_p >= 1.0) { continue; }
    found = searched(lane, stage, found, best);
  }
  return found.first;
}

@compute @workgroup_size(WG)
fn sample(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
#if ROWS
  logits_row = workgroup.x;
#endif
  gather_stats(lane);
  let all = workgroupUniformLoad(&stats[0]);
  let best = value_of(all.key);
  var id = all.id;
  if (u_step.temperature > 0.0 && best > MASKED) { id = drawn(lane, best); }
  storageBarrier(); // every read of counts comes before the write
  if (lane == 0u) {
    let to = 4u * workgroup.x;
    sampled[to] = id;
    sampled[to + 1u] = bitcast<u32>(logit(id) - all.highest - log(all.sum));
    sampled[to + 2u] = bitcast<u32>(log(all.sum));
    sampled[to + 3u] = all.broken;
#if ROWS
#else
    next_ids[0] = id;
    let count = counts[id];
    counts[id] = count + select(0u, 1u, (count & TIMES) < TIMES);
#endif
  }
}
