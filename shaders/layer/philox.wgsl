// Philox4x32-10, a counter-based generator: the same bits for the same counter, in any order, on any device. Twin src/reference/layer/philox.ts.
#import layer/gate
#import layer/logarithms

const DRAW_JITTER: u32 = 0u;
const DRAW_GUMBEL: u32 = 1u;
const DRAW_NORMAL: u32 = 2u;
const DRAW_LOT: u32 = 3u;
const DRAW_SECOND: u32 = 4u;
const DRAW_RANDOM: u32 = 5u;
const DRAW_HASH: u32 = 6u;

/// High word of a * b, by halves of 16 bits.
fn high_product(a: u32, b: u32) -> u32 {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let left = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
  let right = (a & 0xffffu) * (b >> 16u) + (left & 0xffffu);
  return (a >> 16u) * (b >> 16u) + (left >> 16u) + (right >> 16u);
}

fn philox(counter: vec4<u32>, seed: u32) -> vec4<u32> {
  var c = counter;
  var key = vec2<u32>(seed, 0u);
  for (var round = 0u; round < 10u; round++) {
    let high = vec2<u32>(high_product(0xd2511f53u, c.x), high_product(0xcd9e8d57u, c.z));
    let low = vec2<u32>(0xd2511f53u * c.x, 0xcd9e8d57u * c.z);
    c = vec4<u32>(high.y ^ c.y ^ key.x, low.y, high.x ^ c.w ^ key.y, low.x);
    key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}

/// In (0, 1), of 23 bits: exact in f32.
fn unit(bits: u32) -> f32 {
  return (f32(bits >> 9u) + 0.5) * 0x1p-23;
}

fn draw(purpose: u32, a: u32, b: u32) -> vec4<u32> {
  return philox(vec4<u32>(a, b, purpose, u_gate.step), u_gate.seed);
}

fn gumbel(t: u32, e: u32) -> f32 {
  return -log(minus_log(unit(draw(DRAW_GUMBEL, t, e).x)));
}

/// cos(2 pi u) = -sin(2 pi w) with w = 1/4 - |u - 1/2|, by its series: WGSL promises cos only within 2^-11.
fn cosine_of_turns(u: f32) -> f32 {
  let y = 6.283185307179586 * (0.25 - abs(u - 0.5));
  let q = y * y;
  let series = 1.0 / 120.0 - q * (1.0 / 5040.0 - q * (1.0 / 362880.0 - q / 39916800.0));
  return -y * (1.0 - q * (1.0 / 6.0 - q * series));
}

/// Box and Muller.
fn normal(t: u32, e: u32) -> f32 {
  let bits = draw(DRAW_NORMAL, t, e);
  return sqrt(2.0 * minus_log(unit(bits.x))) * cosine_of_turns(unit(bits.y));
}
