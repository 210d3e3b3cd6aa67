// sample/top_logprobs: the n likeliest tokens, likeliest first, with log softmax(l) of each: l - max l - log sum exp(l - max l)
//   Ties go to the lower id. What is no number, and anything up to -1e30, comes last.
// in   logits [V] f32   sampled [2]: f32 bits of log sum exp(l - max l), from sample/sample
// out  sampled [4 + 2 n]: from word 4 on, id and f32 bits of the log-probability by rank; 0xffffffff as id where V < n
// grid [1], workgroup 128
// num  f32, in the order in which sample/sample subtracts: a token's log-probability is the same in both, bit by bit
// cost one pass over the logits, then n times the best of 128 and a pass over V / 128 of them
// twin src/reference/sample/top_logprobs.ts   entry src/kernels/sample/top_logprobs.ts
#import shared/step
#import shared/logits
override V: u32;

@group(0) @binding(1) var<storage, read_write> sampled: array<u32>;

const WG: u32 = 128u;
const NONE: u32 = 0xffffffffu;

struct Candidate {
  key: u32,
  id: u32,
}
var<workgroup> candidates: array<Candidate, WG>;

fn is_before(a: Candidate, b: Candidate) -> bool {
  return a.key < b.key || (a.key == b.key && a.id < b.id);
}

// The first of all lanes' candidates.
fn first_of(lane: u32, mine: Candidate) -> Candidate {
  candidates[lane] = mine;
  workgroupBarrier();
  for (var width = WG / 2u; width > 0u; width >>= 1u) {
    if (lane < width && is_before(candidates[lane + width], candidates[lane])) { candidates[lane] = candidates[lane + width]; }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&candidates[0]);
}

// The first after `last` of the tokens begin, begin + stride, ...
fn first_after(last: Candidate, begin: u32, stride: u32) -> Candidate {
  var best = Candidate(NONE, NONE);
  for (var id = begin; id < V; id += stride) {
    let one = Candidate(key_of(logit(id)), id);
    if (is_before(last, one) && is_before(one, best)) { best = one; }
  }
  return best;
}

// Lane i keeps the best token that is left of those with id % WG == i: a rank costs a look at one lane's tokens, which all lanes share.
@compute @workgroup_size(WG)
fn top_logprobs(@builtin(local_invocation_index) lane: u32) {
  var mine = first_after(Candidate(0u, 0u), lane, WG); // no logit has key 0
  var highest = 0.0;
  let ranks = u_step.draw >> 8u;
  for (var rank = 0u; rank < ranks; rank++) {
    let winner = first_of(lane, mine);
    if (rank == 0u) { highest = value_of(winner.key); }
    if (lane == 0u) {
      sampled[4u + 2u * rank] = winner.id;
      sampled[5u + 2u * rank] = bitcast<u32>(value_of(winner.key) - highest - bitcast<f32>(sampled[2]));
    }
    let owner = winner.id % WG;
    let next = first_of(lane, first_after(winner, owner + lane * WG, WG * WG));
    if (lane == owner) { mine = next; }
  }
}
