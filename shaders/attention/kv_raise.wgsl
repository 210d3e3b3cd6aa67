// What attention gives of latents, `lifted`, through the value rows of a head, by a workgroup of 64: TEAM lanes share four rows, a chunk each at a time.
// The importer has WG, `shares` of at least 256 values, and `out`; it fills `lifted`, with zeros from KV_RANK on, and shows it to all lanes.
#import attention/kv_up
override TEAM: u32; // 1, 2, 4, 8 or 16

const PASS_ROWS: u32 = WG / TEAM * 4u;
const TEAM_TRIPS: u32 = (W_CHUNKS + TEAM - 1u) / TEAM;
var<workgroup> lifted: array<f32, W_CHUNKS * 32u>;

fn lifted_quad(at: u32) -> vec4<f32> {
  return vec4<f32>(lifted[at], lifted[at + 1u], lifted[at + 2u], lifted[at + 3u]);
}

fn lifted_chunk(chunk: u32) -> array<vec4<f32>, 8> {
  let k = chunk * 32u;
  return array<vec4<f32>, 8>(
    lifted_quad(k),
    lifted_quad(k + 4u),
    lifted_quad(k + 8u),
    lifted_quad(k + 12u),
    lifted_quad(k + 16u),
    lifted_quad(k + 20u),
    lifted_quad(k + 24u),
    lifted_quad(k + 28u),
  );
}

fn row_share(row: u32, chunk: u32, x: array<vec4<f32>, 8>) -> f32 {
  return weight_scale(0u, row, chunk) * dot32(unscaled32(0u, row, chunk), x);
}

/// out[to + v] for the PASSES PASS_ROWS values v of a head from `first` on, as far as there are so many. All lanes call it together.
fn raise(head: u32, first: u32, passes: u32, to: u32, lane: u32) {
  let top = head * HEAD_ROWS + NOPE;
  for (var pass_ = 0u; pass_ < passes; pass_++) {
    let base = first + pass_ * PASS_ROWS;
    let row = vec4<u32>(top) + min(vec4<u32>(base + lane / TEAM * 4u) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(VALUE - 1u));
    var share = vec4<f32>();
    for (var trip = 0u; trip < TEAM_TRIPS; trip++) {
      let chunk = trip * TEAM + lane % TEAM;
      if (chunk < W_CHUNKS) {
        let x = lifted_chunk(chunk);
        share += vec4<f32>(
          row_share(row.x, chunk, x),
          row_share(row.y, chunk, x),
          row_share(row.z, chunk, x),
          row_share(row.w, chunk, x),
        );
      }
    }
    shares[4u * lane] = share.x;
    shares[4u * lane + 1u] = share.y;
    shares[4u * lane + 2u] = share.z;
    shares[4u * lane + 3u] = share.w;
    workgroupBarrier();
    for (var i = 0u; i < (PASS_ROWS + WG - 1u) / WG; i++) {
      let at = i * WG + lane;
      if (at < PASS_ROWS && base + at < VALUE) {
        var sum = 0.0;
        for (var n = 0u; n < TEAM; n++) { sum += shares[(at / 4u * TEAM + n) * 4u + at % 4u]; }
        out[to + base + at] = sum;
      }
    }
    workgroupBarrier();
  }
}
