// Reads the listings that AMD's compiler prints: which instructions a loop repeats.

/** They wait or hint, and take no turn of an arithmetic unit. */
const HINTS = new Set(['s_delay_alu', 's_waitcnt', 's_clause', 's_nop', 's_waitcnt_depctr']);

/**
 * @param listing one shader's, with labels as in `BB1:`
 * @returns every loop as { begin, end }, indices into all instructions that are no hints; end is past its last
 */
export function loopsOf(listing) {
  const labels = new Map();
  const loops = [];
  let count = 0;
  for (const line of listing.split('\n')) {
    const label = /^(BB\d+):/.exec(line);
    if (label) labels.set(label[1], count);
    const instruction = /^\t(\w+)\s*(\w*)/.exec(line);
    if (!instruction || HINTS.has(instruction[1])) continue;
    count++;
    const [, name, target] = instruction;
    if (/^s_c?branch/.test(name) && labels.has(target)) loops.push({ begin: labels.get(target), end: count });
  }
  return loops;
}

/**
 * Instructions of one turn of the loop that is longest with all that it repeats.
 * @param trips of the loops inside it, outermost first, where the compiler left them as loops
 */
export function turnOf(loops, trips) {
  const within = (inner, outer) => inner !== outer && inner.begin >= outer.begin && inner.end <= outer.end;
  const sizeOf = (loop, left) => {
    const inner = loops.filter((other) => within(other, loop));
    const direct = inner.filter((a) => !inner.some((b) => within(a, b)));
    const again = direct.map((other) => sizeOf(other, left.slice(1)) * left[0] - (other.end - other.begin));
    return loop.end - loop.begin + again.reduce((a, b) => a + b, 0);
  };
  return Math.max(0, ...loops.map((loop) => sizeOf(loop, trips)));
}
