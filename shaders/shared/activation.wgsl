// The activation of an FFN, from the products of a pair of rows: of each, PAIR_VALUES values. Value i of pair f of a row of F pairs lies at i F + f.
// Constants from src/kernels/activation.ts; twin src/reference/activation.ts.
#import shared/sigmoid

#if ACT_NONE
/// The products themselves.
const PAIR_VALUES: u32 = 2u;
fn activate(i: u32, first: f32, second: f32) -> f32 {
  return select(first, second, i == 1u);
}
#else
#if ACT_UNGATED
/// No gate: both rows are of up, and each gives a value.
const PAIR_VALUES: u32 = 2u;
#if ACT_GELU
#import shared/gelu
fn activate(i: u32, first: f32, second: f32) -> f32 {
  return gelu(select(first, second, i == 1u));
}
#else
override ACT_POWER: u32;
fn activate(i: u32, first: f32, second: f32) -> f32 {
  let positive = max(select(first, second, i == 1u), 0.0);
  return select(positive, positive * positive, ACT_POWER == 2u);
}
#endif
#else
const PAIR_VALUES: u32 = 1u;
fn activate(i: u32, gate: f32, up: f32) -> f32 {
  return gated(gate, up);
}
#endif
#endif

#if ACT_SILU
fn gated(gate: f32, up: f32) -> f32 {
  return gate * sigmoid(gate) * up;
}
#endif
#if ACT_GELU_TANH
/// 0.5 * (1 + tanh(u)) = sigmoid(2u), u = sqrt(2/pi) * (g + 0.044715 g^3). Beyond |g| = 10 it is 0 or 1; the clamp keeps g^3 finite.
fn gated(gate: f32, up: f32) -> f32 {
  let g = clamp(gate, -100.0, 100.0);
  return gate * sigmoid(1.5957691216057308 * (g + 0.044715 * g * g * g)) * up;
}
#endif
#if ACT_RELU
fn gated(gate: f32, up: f32) -> f32 {
  return max(gate, 0.0) * up;
}
#endif
#if ACT_CLAMPED
override ACT_ALPHA: f32;
override ACT_LIMIT: f32;
fn gated(gate: f32, up: f32) -> f32 {
  let g = min(gate, ACT_LIMIT);
  return (clamp(up, -ACT_LIMIT, ACT_LIMIT) + 1.0) * g * sigmoid(ACT_ALPHA * g);
}
#endif
