/// Density of the standard normal distribution.
fn normal_density(a: f32) -> f32 {
  return 0.3989422804014327 * exp(-0.5 * min(a * a, 160.0));
}

/// Its cumulative distribution, by the approximation 7.1.26 of Abramowitz and Stegun: within 1.5e-7.
fn normal_below(a: f32) -> f32 {
  let z = abs(a) * 0.7071067811865476;
  let t = 1.0 / (1.0 + 0.3275911 * z);
  let poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  let tail = 0.5 * poly * exp(-min(z * z, 80.0));
  return select(tail, 1.0 - tail, a >= 0.0);
}
