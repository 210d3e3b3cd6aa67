/** Twin of shaders/attention/output_gate.wgsl. gates [T, row], attended [T, N]; returns attended. */
export function outputGate(
  gates: ArrayLike<number>,
  attended: ArrayLike<number>,
  { size, row, at, each, by }: { size: number; row: number; at: number; each: number; by: 'sigmoid' | 'softplus' },
): Float64Array {
  return Float64Array.from(attended, (value, i) => {
    const gate = gates[Math.floor(i / size) * row + at + Math.floor((i % size) / each)]!;
    if (by === 'softplus') return value * (Math.max(gate, 0) + Math.log1p(Math.exp(-Math.abs(gate))));
    return value / (1 + Math.exp(-gate));
  });
}
