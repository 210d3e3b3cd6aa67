// The expert beside the chosen ones, which every token takes: a matrix of its own with its own layout and width, read with what is imported
// "as beside_". Its scales are read through the binding of its values: a device guarantees eight, and all others are taken.
@group(0) @binding(8) var<storage, read> beside_values: array<vec4<u32>>;

fn beside_scale_word(at: u32) -> u32 { return beside_values[at / 4u][at % 4u]; }
