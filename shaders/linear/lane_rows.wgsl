// The linear maps of software adapters: each lane takes four rows of W for one token, or with BLOCK eight for four. See linear/lane_products.
#import shared/step
#import linear/lane_products

@group(0) @binding(1) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> scales: array<u32>;

fn scale_word(at: u32) -> u32 { return scales[at]; }

const WG: u32 = 16u;

#if BLOCK
const TOKENS: u32 = 4u;

/// Tokens beyond the last repeat it.
fn rows_from(t: u32) -> Rows {
  return min(vec4<u32>(t, t + 1u, t + 2u, t + 3u), vec4<u32>(u_step.tokens - 1u));
}
#else
const TOKENS: u32 = 1u;

fn rows_from(t: u32) -> Rows {
  return t;
}
#endif
