// Over all WG lanes, which call it together and all get the result: WG is a power of two, and halves meet until one is left.
var<workgroup> tree: array<f32, WG>;

fn tree_sum(lane: u32, value: f32) -> f32 {
  tree[lane] = value;
  workgroupBarrier();
  for (var width = WG / 2u; width > 0u; width >>= 1u) {
    if (lane < width) { tree[lane] += tree[lane + width]; }
    workgroupBarrier();
  }
  let total = tree[0];
  workgroupBarrier();
  return total;
}

fn tree_max(lane: u32, value: f32) -> f32 {
  tree[lane] = value;
  workgroupBarrier();
  for (var width = WG / 2u; width > 0u; width >>= 1u) {
    if (lane < width) { tree[lane] = max(tree[lane], tree[lane + width]); }
    workgroupBarrier();
  }
  let largest = tree[0];
  workgroupBarrier();
  return largest;
}
