/** JavaScript's memory of a page and of its workers, after a garbage collection, over the DevTools protocol. */
import type { CDPSession, Page } from 'playwright-core';

export interface Heap {
  readonly usedSize: number;
}

type Send = (method: string, params?: object) => Promise<unknown>;

/** A worker has no session of its own in playwright: messages to it travel inside those to its page. */
function workerSend(page: CDPSession, sessionId: string): Send {
  let last = 0;
  return (method, params = {}) => {
    const id = ++last;
    return new Promise((resolve, reject) => {
      const listen = (event: { sessionId: string; message: string }): void => {
        const answer = JSON.parse(event.message) as { id?: number; result?: unknown; error?: { message: string } };
        if (event.sessionId !== sessionId || answer.id !== id) return;
        page.off('Target.receivedMessageFromTarget', listen);
        if (answer.error) reject(new Error(`${method}: ${answer.error.message}`));
        else resolve(answer.result);
      };
      page.on('Target.receivedMessageFromTarget', listen);
      void page
        .send('Target.sendMessageToTarget', { sessionId, message: JSON.stringify({ id, method, params }) })
        .catch(reject);
    });
  };
}

async function usedBy(send: Send): Promise<number> {
  await send('HeapProfiler.enable');
  await send('HeapProfiler.collectGarbage');
  const { usedSize } = (await send('Runtime.getHeapUsage')) as Heap;
  return usedSize;
}

/** Looks at the page and at the workers that live when this is called. */
export async function heapMeter(page: Page): Promise<() => Promise<{ page: number; workers: number[] }>> {
  const session = await page.context().newCDPSession(page);
  const workers: Send[] = [];
  session.on('Target.attachedToTarget', ({ sessionId }) => workers.push(workerSend(session, sessionId)));
  await session.send('Target.setAutoAttach', { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
  const own: Send = (method, params) => session.send(method as 'Runtime.getHeapUsage', params as undefined);
  return async () => {
    const used: number[] = [];
    for (const send of workers) used.push(await usedBy(send));
    return { page: await usedBy(own), workers: used };
  };
}

/** Of the least-squares line through the points, in units of y for one of x. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0) / values.length;
  const [mx, my] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  const over = points.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0);
  return over / points.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
}
