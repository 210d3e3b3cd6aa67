// A one-dimensional grid that src/gpu/recording.ts foldGrid spread over x and y.
fn folded(workgroup: vec3<u32>, workgroups: vec3<u32>) -> u32 {
  return workgroup.y * workgroups.x + workgroup.x;
}
