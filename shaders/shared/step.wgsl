// What changes from one step to the next; written by src/gpu/step.ts, field by field in this order.
struct Step {
  tokens: u32,             // T
  position: u32,           // of the first of the T tokens
  seed: u32,
  top_k: u32,
  temperature: f32,
  top_p: f32,
  min_p: f32,
  repetition_penalty: f32,
  presence_penalty: f32,
  frequency_penalty: f32,
  keep_experts: u32,       // 0: all TOP_K
  drop_below: f32,         // 0: none
  cache_prior: f32,        // 0: none
  prior_keep: u32,
  draw: u32,               // bit 0: logits are biased, bit 1: tokens are masked, from bit 8: how many top log-probabilities
  side: u32,               // of recurrent states: read side, write 1 - side
}
@group(1) @binding(0) var<uniform> u_step: Step;
