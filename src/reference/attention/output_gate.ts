/** Twin of shaders/attention/output_gate.wgsl. gates [T, row], attended [T, N]; returns attended. */
export function outputGate(
  gates: ArrayLike<number>,
  attended: ArrayLike<number>,
  { size, row, at }: { size: number; row: number; at: number },
): Float64Array {
  return Float64Array.from(attended, (value, i) => {
    const gate = gates[Math.floor(i / size) * row + at + (i % size)]!;
    return value / (1 + Math.exp(-gate));
  });
}
