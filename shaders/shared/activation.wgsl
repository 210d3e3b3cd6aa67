// The gated activation of an FFN: activate(gate, up). Constants from src/kernels/activation.ts; twin src/reference/activation.ts.
#import shared/sigmoid

#if ACT_SILU
fn activate(gate: f32, up: f32) -> f32 {
  return gate * sigmoid(gate) * up;
}
#endif
#if ACT_GELU_TANH
/// 0.5 * (1 + tanh(u)) = sigmoid(2u), u = sqrt(2/pi) * (g + 0.044715 g^3). Beyond |g| = 10 it is 0 or 1; the clamp keeps g^3 finite.
fn activate(gate: f32, up: f32) -> f32 {
  let g = clamp(gate, -100.0, 100.0);
  return gate * sigmoid(1.5957691216057308 * (g + 0.044715 * g * g * g)) * up;
}
#endif
#if ACT_RELU
fn activate(gate: f32, up: f32) -> f32 {
  return max(gate, 0.0) * up;
}
#endif
#if ACT_CLAMPED
override ACT_ALPHA: f32;
override ACT_LIMIT: f32;
fn activate(gate: f32, up: f32) -> f32 {
  let g = min(gate, ACT_LIMIT);
  return (clamp(up, -ACT_LIMIT, ACT_LIMIT) + 1.0) * g * sigmoid(ACT_ALPHA * g);
}
#endif
