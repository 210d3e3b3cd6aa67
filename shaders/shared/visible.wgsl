// Which keys a query at `position` sees: first_visible(position) ..= position. A causal sliding window, WINDOW keys at most;
// with CHUNKED those of its own stretch of WINDOW positions.
override WINDOW: u32;

fn first_visible(position: u32) -> u32 {
#if CHUNKED
  return position / WINDOW * WINDOW;
#else
  return position + 1u - min(position + 1u, WINDOW);
#endif
}
