/** Two ends of a port whose messages take random times, in order, and whose other end may die. Values are cloned as a real port clones them. */
import type { Message, Port } from '../../src/surface/port/messages.ts';

export interface FakePorts {
  readonly ends: readonly [Port, Port];
  /** From now on nothing arrives at either end. */
  cut(): void;
  /** Messages that arrived. */
  readonly delivered: { count: number };
}

/** @param delay of the next message in turns of the event loop */
export function fakePorts(delay: () => number = () => 0): FakePorts {
  let isCut = false;
  const delivered = { count: 0 };
  const ends = [0, 1].map((): Port => ({ onmessage: null, postMessage: () => undefined, close: () => undefined }));
  ends.forEach((end, i) => {
    const other = ends[1 - i]!;
    let last: Promise<void> = Promise.resolve();
    let isClosed = false;
    end.close = () => void (isClosed = true);
    end.postMessage = (message, transfer) => {
      if (isClosed) return;
      const data = structuredClone(message, { transfer: transfer as ArrayBuffer[] });
      const turns = delay();
      last = last.then(async () => {
        for (let t = 0; t < turns; t++) await new Promise((resolve) => setImmediate(resolve));
        if (isCut || !other.onmessage) return;
        delivered.count++;
        other.onmessage({ data } as MessageEvent<Message>);
      });
    };
  });
  return { ends: ends as unknown as [Port, Port], cut: () => void (isCut = true), delivered };
}
