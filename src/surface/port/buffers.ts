/** The memory of a fresh value, to be handed over instead of copied. */
export function buffersOf(value: unknown): ArrayBuffer[] {
  const found = new Set<ArrayBuffer>();
  const visit = (inner: unknown): void => {
    if (inner instanceof ArrayBuffer) found.add(inner);
    else if (ArrayBuffer.isView(inner)) visit(inner.buffer);
    else if (typeof inner === 'object' && inner !== null) for (const part of Object.values(inner)) visit(part);
  };
  visit(value);
  return [...found];
}
