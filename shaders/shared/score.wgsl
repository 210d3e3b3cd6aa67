// What a product of a query and a key counts as: SCALE times it, with SOFTCAP held within CAP.
override SCALE: f32;
#if SOFTCAP
#import shared/softcap

fn scored(product: f32) -> f32 {
  return soft_capped(product * SCALE);
}
#else
fn scored(product: f32) -> f32 {
  return product * SCALE;
}
#endif
