/** What was read of a model's files, as one blob: the length of a JSON directory in 4 bytes, the directory, the bytes. */

export interface SmallReads {
  /** Of the source. */
  readonly label: string;
  readonly files: Map<string, Remembered>;
}

export interface Remembered {
  /** Of the whole file; null: there was none. */
  readonly size: number | null;
  version: string | null;
  readonly ranges: { readonly begin: number; readonly bytes: Uint8Array }[];
}

/** Raised when the form changes; the blob's own checksum has been checked before. */
const FORM = 1;

export const newReads = (label: string): SmallReads => ({ label, files: new Map() });

/** The bytes [begin, end), when one earlier read has them all. */
export function covering({ ranges }: Remembered, begin: number, end: number): Uint8Array | null {
  const range = ranges.find((r) => r.begin <= begin && r.begin + r.bytes.length >= end);
  return range ? range.bytes.subarray(begin - range.begin, end - range.begin) : null;
}

interface Directory {
  readonly form: number;
  readonly label: string;
  readonly files: readonly {
    readonly name: string;
    readonly size: number | null;
    readonly version: string | null;
    /** Begin in the file, bytes. They follow each other in the blob. */
    readonly ranges: readonly (readonly [number, number])[];
  }[];
}

export function encodeReads({ label, files }: SmallReads): Uint8Array<ArrayBuffer> {
  const directory: Directory = {
    form: FORM,
    label,
    files: [...files].map(([name, { size, version, ranges }]) => ({
      name,
      size,
      version,
      ranges: ranges.map(({ begin, bytes }) => [begin, bytes.length]),
    })),
  };
  const all = [...files.values()].flatMap(({ ranges }) => ranges.map(({ bytes }) => bytes));
  const json = new TextEncoder().encode(JSON.stringify(directory));
  const blob = new Uint8Array(all.reduce((sum, { length }) => sum + length, 4 + json.length));
  new DataView(blob.buffer).setUint32(0, json.length, true);
  blob.set(json, 4);
  let at = 4 + json.length;
  for (const bytes of all) {
    blob.set(bytes, at);
    at += bytes.length;
  }
  return blob;
}

/** null for what another version wrote. The ranges are views of `blob`. */
export function decodeReads(blob: Uint8Array): SmallReads | null {
  if (blob.length < 4) return null;
  let at = 4 + new DataView(blob.buffer, blob.byteOffset).getUint32(0, true);
  if (at > blob.length) return null;
  const directory = readDirectory(blob.subarray(4, at));
  if (!directory) return null;
  const reads = newReads(directory.label);
  for (const { name, size, version, ranges } of directory.files) {
    const views = ranges.map(([begin, length]) => {
      const bytes = blob.subarray(at, at + length);
      at += length;
      return { begin, bytes };
    });
    reads.files.set(name, { size, version, ranges: views });
  }
  return at === blob.length ? reads : null;
}

function readDirectory(text: Uint8Array): Directory | null {
  try {
    const json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text)) as Directory;
    return json.form === FORM ? json : null;
  } catch {
    return null;
  }
}
