// What the router's input is multiplied by: 1 ± JITTER, evenly.
#import layer/philox
override JITTER: f32;

fn jitter_factor(t: u32, d: u32) -> f32 {
  if (u_gate.training == 0u) { return 1.0; }
  return 1.0 + JITTER * (2.0 * unit(draw(DRAW_JITTER, t, d).x) - 1.0);
}
