/** Mapped buffers in a circle: order, reuse, giving back, waiting, and what a lost device leaves. */
import { describe, expect, it } from 'vitest';
import { subview, wholeBuffer, type BufferView } from '../../src/gpu/buffer.ts';
import { UploadRing } from '../../src/gpu/upload-ring.ts';
import { InvariantError } from '../../src/util/assert.ts';
import { openModelGpu } from '../support/gpu.ts';

const gpu = await openModelGpu();
const BYTES = 1024;

const target = (bytes = BYTES): BufferView => wholeBuffer(gpu.createBuffer('ring target', 'experts', bytes));
const read = async (view: BufferView): Promise<number[]> => [...new Uint8Array(await gpu.read(view))];

describe('UploadRing', () => {
  it('moves the first bytes of an entry to where they belong, and nothing else', async () => {
    const ring = new UploadRing(gpu, 'ring', BYTES, 2);
    const to = target(3 * 256);
    const entry = await ring.acquire();
    expect(entry.bytes.length).toBe(BYTES);
    entry.bytes.fill(7);
    entry.send(subview(to, 256, 256));
    expect(await read(to)).toEqual([
      ...Array<number>(256).fill(0),
      ...Array<number>(256).fill(7),
      ...Array<number>(256).fill(0),
    ]);
    ring.dispose();
  });

  it('keeps the order of the queue, through many turns of few buffers', async () => {
    const ring = new UploadRing(gpu, 'ring', BYTES, 3);
    const [to, copy] = [target(), target()];
    const created = gpu.counters.buffersCreated;
    for (let i = 1; i <= 50; i++) {
      const entry = await ring.acquire();
      entry.bytes.fill(i);
      entry.send(to);
      if (i === 20) {
        const encoder = gpu.device.createCommandEncoder();
        encoder.copyBufferToBuffer(to.buffer, 0, copy.buffer, 0, BYTES);
        gpu.submit(encoder.finish());
      }
    }
    expect(gpu.counters.buffersCreated).toBe(created);
    expect(new Set(await read(to))).toEqual(new Set([50]));
    expect(new Set(await read(copy))).toEqual(new Set([20]));
    ring.dispose();
  });

  it('lets callers wait while all are out, first come, first served', async () => {
    const ring = new UploadRing(gpu, 'ring', BYTES, 2);
    const [a, b] = [await ring.acquire(), await ring.acquire()];
    const order: string[] = [];
    const [c, d] = ['c', 'd'].map(async (name) => {
      const entry = await ring.acquire();
      order.push(name);
      return entry;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(order).toEqual([]);
    b.giveBack();
    const third = await c!;
    expect(order).toEqual(['c']);
    a.bytes.fill(3);
    a.send(target());
    const fourth = await d!;
    expect(order).toEqual(['c', 'd']);
    third.giveBack();
    fourth.giveBack();
    ring.dispose();
  });

  it('an entry given back is used again, without a trip to the GPU', async () => {
    const ring = new UploadRing(gpu, 'ring', BYTES, 1);
    const submits = gpu.counters.submits;
    for (let i = 0; i < 10; i++) {
      const entry = await ring.acquire();
      entry.bytes.fill(i); // half-read, then aborted
      entry.giveBack();
    }
    expect(gpu.counters.submits).toBe(submits);
    const to = target();
    const entry = await ring.acquire();
    entry.bytes.fill(99);
    entry.send(to);
    expect(new Set(await read(to))).toEqual(new Set([99]));
    ring.dispose();
  });

  it('an entry is left once', async () => {
    const ring = new UploadRing(gpu, 'ring', BYTES, 1);
    const to = target();
    const sent = await ring.acquire();
    sent.send(to);
    expect(() => sent.giveBack()).toThrow(InvariantError);
    expect(() => sent.send(to)).toThrow(InvariantError);
    const back = await ring.acquire();
    back.giveBack();
    expect(() => back.send(to)).toThrow(InvariantError);
    await ring.acquire(); // there is still exactly one
    ring.dispose();
  });

  it('counts as staging, and what it moved as uploads', async () => {
    const own = gpu.share();
    const before = own.counters.uploadBytes;
    const ring = new UploadRing(own, 'ring', BYTES, 4);
    expect(own.ledger.bytesByRole().staging).toBe(4 * BYTES);
    (await ring.acquire()).send(subview(target(), 0, 512));
    expect(own.counters.uploadBytes - before).toBe(512);
    ring.dispose();
    expect(own.ledger.bytesByRole().staging).toBe(0);
  });

  it('whoever waits learns that the buffers are gone', async () => {
    const ring = new UploadRing(gpu, 'ring', BYTES, 1);
    const to = target();
    const entry = await ring.acquire();
    const waiting = ring.acquire();
    waiting.catch(() => undefined);
    entry.send(to);
    ring.dispose(); // while it is being mapped again
    await expect(waiting).rejects.toThrow();
    await expect(ring.acquire()).rejects.toThrow();
  });
});
