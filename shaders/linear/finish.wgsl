// What a linear map does with a finished product: out = cap((product + bias[n]) * row_scale[t] * OUT_SCALE) + residual, each part optional;
// cap as shared/softcap has it, with SOFTCAP.
override OUT_ROW: u32;
override OUT_AT: u32;
#if OUT_SCALED
override OUT_SCALE: f32;
#endif
#if SOFTCAP
#import shared/softcap
#endif

@group(0) @binding(3) var<storage, read_write> out: array<f32>;
#if BIAS
@group(0) @binding(4) var<storage, read> bias: array<f32>;
#endif
#if RESIDUAL
@group(0) @binding(5) var<storage, read> residual: array<f32>;
#endif
#if ROW_SCALE
@group(0) @binding(6) var<storage, read> row_scale: array<f32>;
#endif

/// @param row of out and residual; t of row_scale
fn finish(row: u32, t: u32, n: u32, product: f32) {
  let at = row * OUT_ROW + OUT_AT + n;
  var y = product;
#if BIAS
  y += bias[n];
#endif
#if ROW_SCALE
  y *= row_scale[t];
#endif
#if OUT_SCALED
  y *= OUT_SCALE;
#endif
#if SOFTCAP
  y = soft_capped(y);
#endif
#if RESIDUAL
  y += residual[at];
#endif
  out[at] = y;
}
