/// log(1 + exp(x)); never overflows, and keeps what is below f32's distance to 1.
fn softplus(x: f32) -> f32 {
  let e = exp(-abs(x));
  // log(1 + e) = e * log(u) / (u - 1) with u = 1 + e as f32 rounds it.
  let u = 1.0 + e;
  let tail = select(e * log(u) / (u - 1.0), e, u == 1.0);
  return max(x, 0.0) + tail;
}
