/** Buffers with a role, and the ledger that knows where every byte went. */
import { invariant } from '../util/assert.ts';
import { alignUp } from '../util/math.ts';

export const BUFFER_ROLES = [
  'weights',
  'adapters',
  'experts',
  'kv',
  'activations',
  'tables',
  'staging',
  'readback',
] as const;
export type BufferRole = (typeof BUFFER_ROLES)[number];

/** A byte range of one buffer. Views own nothing; whoever called `Gpu.createBuffer` destroys. */
export interface BufferView {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
}

export const wholeBuffer = (buffer: GPUBuffer): BufferView => ({ buffer, offset: 0, size: buffer.size });

/** Storage bindings start on multiples of 256 bytes under WebGPU's default limits. */
export const BINDING_ALIGNMENT = 256;

export function subview(view: BufferView, offset: number, size: number): BufferView {
  invariant(
    offset >= 0 && offset + size <= view.size,
    `subview ${offset}+${size} of ${view.size} bytes in ${view.buffer.label}`,
  );
  return { buffer: view.buffer, offset: view.offset + offset, size };
}

/** Bytes that a buffer of `size` occupies: at least four, a multiple of four. */
export const bufferBytes = (size: number): number => Math.max(4, alignUp(size, 4));

export class Ledger {
  readonly #live = new Map<GPUBuffer, { role: BufferRole; bytes: number }>();

  add(buffer: GPUBuffer, role: BufferRole): void {
    this.#live.set(buffer, { role, bytes: buffer.size });
  }

  remove(buffer: GPUBuffer): void {
    this.#live.delete(buffer);
  }

  get liveBuffers(): Iterable<GPUBuffer> {
    return this.#live.keys();
  }

  bytesByRole(): Record<BufferRole, number> {
    const bytes = Object.fromEntries(BUFFER_ROLES.map((r) => [r, 0])) as Record<BufferRole, number>;
    for (const entry of this.#live.values()) bytes[entry.role] += entry.bytes;
    return bytes;
  }
}
