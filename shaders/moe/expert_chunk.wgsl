// A chunk of 32 values of a row of x, for the decode kernels.
#import moe/expert
#import shared/dot32

fn expert_x(row: u32, chunk: u32) -> array<vec4<f32>, 8> {
  let q = chunk * 8u;
  return array<vec4<f32>, 8>(
    x_quad(row, q),
    x_quad(row, q + 1u),
    x_quad(row, q + 2u),
    x_quad(row, q + 3u),
    x_quad(row, q + 4u),
    x_quad(row, q + 5u),
    x_quad(row, q + 6u),
    x_quad(row, q + 7u),
  );
}
