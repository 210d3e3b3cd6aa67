// What the cache of latent attention keeps of a token: [rms_norm(latent), KV_RANK values ; the rope key that all heads share, turned, ROPE values].
// Also turns the rope part of a query. The importer declares `q_raw`, `down`, where the latent and the rope key are in a row, and has KV_RANK.
#import shared/rope
override ROPE: u32;
override DOWN_ROW: u32;  // of `down`
override LATENT_AT: u32; // of KV_RANK values in it, and behind them ROPE
override EPS: f32;

@group(0) @binding(6) var<storage, read> rope: array<f32>;     // [positions, 2, PAIRS]
@group(0) @binding(8) var<storage, read> kv_gamma: array<f32>; // [KV_RANK]

fn angles(r: u32, position: u32) -> vec2<f32> {
  let at = position * 2u * PAIRS + pair_of(r);
  return vec2<f32>(rope[at], rope[at + PAIRS]);
}

/// Value r of ROPE values at `at` of a row of queries.
fn turned_query(at: u32, r: u32, position: u32) -> f32 {
  if (r >= 2u * PAIRS) { return q_raw[at + r]; }
  let angle = angles(r, position);
  return turned(r, q_raw[at + low_of(pair_of(r))], q_raw[at + high_of(pair_of(r))], angle.x, angle.y);
}

/// `scale` is that of the norm.
fn latent_value(t: u32, d: u32, scale: f32, position: u32) -> f32 {
  let at = t * DOWN_ROW + LATENT_AT;
  if (d < KV_RANK) { return down_value(at + d) * kv_gamma[d] * scale; }
  let r = d - KV_RANK;
  if (r >= 2u * PAIRS) { return down_value(at + d); }
  let angle = angles(r, position);
  let start = at + KV_RANK;
  return turned(r, down_value(start + low_of(pair_of(r))), down_value(start + high_of(pair_of(r))), angle.x, angle.y);
}

fn latent_unit(t: u32, u: u32, scale: f32, position: u32) -> vec4<f32> {
  let d = 4u * u;
  return vec4<f32>(
    latent_value(t, d, scale, position),
    latent_value(t, d + 1u, scale, position),
    latent_value(t, d + 2u, scale, position),
    latent_value(t, d + 3u, scale, position),
  );
}
