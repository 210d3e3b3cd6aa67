// The activations of shared/activation are gate * sigmoid(a(gate)) * up; this is their gradient by gate and up.
#import shared/sigmoid

#if ACT_SILU
fn inner(gate: f32) -> vec2<f32> {
  return vec2<f32>(gate, 1.0);
}
#endif
#if ACT_GELU_TANH
fn inner(gate: f32) -> vec2<f32> {
  let g = clamp(gate, -100.0, 100.0);
  return 1.5957691216057308 * vec2<f32>(g + 0.044715 * g * g * g, 1.0 + 0.134145 * g * g);
}
#endif

fn activation_grad(gate: f32, up: f32) -> vec2<f32> {
  let a = inner(gate);
  let s = sigmoid(a.x);
  return vec2<f32>((s + gate * s * (1.0 - s) * a.y) * up, gate * s);
}
