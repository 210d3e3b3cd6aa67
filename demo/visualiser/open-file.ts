/** A trace from a file of the visitor's. */
import { openTrace, type Trace } from '../../src/trace/index.ts';

/** Larger files are no traces that a page can hold. */
const MOST_BYTES = 512e6;

/** @throws with a sentence for people */
export async function openFile(file: File): Promise<Trace> {
  if (file.size > MOST_BYTES)
    throw new Error(
      `${file.name} has ${(file.size / 1e6).toFixed(0)} MB: this page opens traces of up to ${MOST_BYTES / 1e6} MB.`,
    );
  return openTrace(new Uint8Array(await file.arrayBuffer()), file.name);
}
