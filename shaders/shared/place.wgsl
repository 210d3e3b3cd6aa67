// Where a step's tokens stand in their sequences, and where their keys and values go. The importer has CACHED, heads of keys and values.
#if PAGED
override PAGE: u32;
@group(0) @binding(9) var<storage, read> rows: array<vec4<u32>>; // [T, and more behind]: position, place in the pages, first word of its list of pages, 0

fn position_of(t: u32) -> u32 { return rows[t].x; }

/// Row of [pages, CACHED, PAGE] for a head of token t.
fn cache_row(head: u32, t: u32) -> u32 {
  let place = rows[t].y;
  return (place / PAGE * CACHED + head) * PAGE + place % PAGE;
}
#else
override CAPACITY: u32;

fn position_of(t: u32) -> u32 { return u_step.position + t; }

/// Row of [CACHED, CAPACITY] for a head of token t.
fn cache_row(head: u32, t: u32) -> u32 { return head * CAPACITY + position_of(t); }
#endif
