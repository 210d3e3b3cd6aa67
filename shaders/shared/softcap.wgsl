// CAP tanh(x / CAP), by tanh(y) = 1 - 2 / (exp(2 y) + 1): absolute error 1e-7 CAP. Beyond |y| = 20 it is 1 in f32; the clamp keeps exp finite.
override CAP: f32;

fn soft_capped(x: f32) -> f32 {
  return CAP * (1.0 - 2.0 / (exp(2.0 * clamp(x / CAP, -20.0, 20.0)) + 1.0));
}
