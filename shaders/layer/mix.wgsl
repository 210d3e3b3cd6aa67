// The two mixing coefficients of PR-MoE: softmax of the last two logits of a token.
fn mix_of(first: f32, second: f32) -> vec2<f32> {
  let p = sigmoid(first - second);
  return vec2<f32>(p, 1.0 - p);
}
