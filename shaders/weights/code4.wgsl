// Weight formats nf4 and fp4 of bitsandbytes: nibbles placed as in int4 are indices of 16 values, with a scale a group. See src/weights/layout.ts
// and weights/bf16.wgsl.
#import weights/int_group
override W_CHUNKS: u32;
override W_CHUNK_VEC4: u32;

#if W_NF4
const CODE = array<f32, 16>(
  -1.0,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0.0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1.0,
);
#else
const CODE = array<f32, 16>(
  0.0,
  0.005208333333,
  0.66666667,
  1.0,
  0.33333333,
  0.5,
  0.16666667,
  0.25,
  -0.0,
  -0.005208333333,
  -0.66666667,
  -1.0,
  -0.33333333,
  -0.5,
  -0.16666667,
  -0.25,
);
#endif

fn code_quad(u: u32, shift: u32) -> vec4<f32> {
  let n = (vec4<u32>(u) >> (vec4<u32>(0u, 8u, 16u, 24u) + vec4<u32>(shift))) & vec4<u32>(15u);
  return vec4<f32>(CODE[n.x], CODE[n.y], CODE[n.z], CODE[n.w]);
}

fn unscaled32(matrix: u32, row: u32, chunk: u32) -> array<vec4<f32>, 8> {
  let u = values[matrix + (row * W_CHUNKS + chunk) * W_CHUNK_VEC4];
  return array<vec4<f32>, 8>(
    code_quad(u.x, 0u),
    code_quad(u.x, 4u),
    code_quad(u.y, 0u),
    code_quad(u.y, 4u),
    code_quad(u.z, 0u),
    code_quad(u.z, 4u),
    code_quad(u.w, 0u),
    code_quad(u.w, 4u),
  );
}
