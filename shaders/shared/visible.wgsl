// Causal sliding window: a query at `position` sees the keys first_visible(position) ..= position, WINDOW of them at most.
override WINDOW: u32;

fn first_visible(position: u32) -> u32 {
  return position + 1u - min(position + 1u, WINDOW);
}
