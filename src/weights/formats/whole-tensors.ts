/** Tensors that are needed whole for any row: read together, kept until the last row was asked for. */
import type { Checkpoint, TensorInfo } from '../checkpoint.ts';
import { readBytes } from '../source.ts';
import { sharedReads } from './shared-reads.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/** Each starts on a multiple of this, so that typed arrays can view it. */
const ALIGNMENT = 8;
const sizeOf = ({ begin, end }: TensorInfo): number => end - begin;
const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/**
 * @returns the bytes of each tensor, one after the other in one piece of memory, each at a multiple of 8
 */
export function wholeTensors(
  checkpoint: Checkpoint,
  infos: readonly TensorInfo[],
): (isLast: boolean, signal?: AbortSignal) => Promise<readonly Bytes[]> {
  const load = async (signal?: AbortSignal): Promise<Bytes> => {
    const parts = await Promise.all(
      infos.map(({ file, begin, end }) => readBytes(checkpoint.source, file, begin, end, signal)),
    );
    const out = new Uint8Array(infos.reduce((n, info) => n + aligned(sizeOf(info)), 0));
    let at = 0;
    for (const part of parts) {
      out.set(part, at);
      at += aligned(part.length);
    }
    return out;
  };
  return async (isLast, signal) => {
    const key = { key: `all of ${infos[0]!.name}`, readers: 1, last: isLast };
    const bytes = await sharedReads(checkpoint).get(key, signal, load);
    let at = 0;
    return infos.map((info) => {
      const part = bytes.subarray(at, at + sizeOf(info));
      at += aligned(sizeOf(info));
      return part;
    });
  };
}
