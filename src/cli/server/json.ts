/** Routing comes in typed arrays, which JSON would write as objects. */
export const toJson = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) =>
    ArrayBuffer.isView(part) && !(part instanceof DataView) ? Array.from(part as Uint8Array) : part,
  );
