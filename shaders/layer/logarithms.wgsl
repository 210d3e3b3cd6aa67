// Logarithms that keep their relative accuracy near 0: WGSL promises log only within 2^-21 there.

/// 2 atanh(s) = log((1 + s) / (1 - s)) by its series, within 1e-8 up to s = 1/3.
fn log_ratio(s: f32) -> f32 {
  let q = s * s;
  let series = 1.0 / 9.0 + q * (1.0 / 11.0 + q / 13.0);
  return 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (0.2 + q * (1.0 / 7.0 + q * series))));
}

/// -log(u), u in (0, 1); 1 - u is exact for draws.
fn minus_log(u: f32) -> f32 {
  let v = 1.0 - u;
  if (u > 0.5) { return log_ratio(v / (2.0 - v)); }
  return -log(u);
}

/// log(1 + exp(x)) without overflow.
fn softplus(x: f32) -> f32 {
  let e = exp(-abs(x));
  return max(x, 0.0) + log_ratio(e / (2.0 + e));
}
