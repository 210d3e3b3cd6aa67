// Sums over neighbouring lanes without workgroup memory, for adapters with subgroups. The size of a subgroup, 4 to 128, is known only when the shader
// runs; a kernel's one-dimensional lanes are dealt to subgroups in order. The importer sets `subgroup`, from @builtin(subgroup_size).
enable subgroups;
var<private> subgroup: u32;

/// Over each team of `width` lanes, a power of two up to 32, as far as it lies in one subgroup; every lane gets the sum. What a team of several
/// subgroups still has to add stands at lanes 0, subgroup, 2 subgroup, ...
fn team_sum(value: f32, width: u32) -> f32 {
  // Partners beyond the subgroup give anything.
  var sum = value;
  sum += select(0.0, subgroupShuffleXor(sum, 1u), width > 1u);
  sum += select(0.0, subgroupShuffleXor(sum, 2u), width > 2u);
  sum += select(0.0, subgroupShuffleXor(sum, 4u), width > 4u && subgroup > 4u);
  sum += select(0.0, subgroupShuffleXor(sum, 8u), width > 8u && subgroup > 8u);
  sum += select(0.0, subgroupShuffleXor(sum, 16u), width > 16u && subgroup > 16u);
  return sum;
}
