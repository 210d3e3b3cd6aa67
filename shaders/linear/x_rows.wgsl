// Rows of x and how to read them: see linear/x_quads.
#import linear/x_quads
#if X_CHUNKS
@group(0) @binding(0) var<storage, read> x: array<array<vec4<f32>, 8>>;
#else
#if X_VEC4
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
#else
@group(0) @binding(0) var<storage, read> x: array<f32>;
#endif
#endif
