/** Locks between the tabs and workers of a site: the browser frees them when a page goes away, however it goes. */
import { localLock, type RecordLease, type RecordLock } from './lock.ts';

const PREFIX = 'webmoe-v1/';

/** Without Web Locks only this page, or worker, is seen. */
const onlyHere = localLock();

export const webLock = (): RecordLock => {
  const locks = globalThis.navigator?.locks;
  if (!locks) return onlyHere;
  return {
    acquire: (id) => request(locks, PREFIX + id, { ifAvailable: true }),
    queue: async (id, signal) => (await request(locks, PREFIX + id, signal ? { signal } : {}))!,
    async isHeld(id) {
      const { held = [] } = await locks.query();
      return held.some(({ name }) => name === PREFIX + id);
    },
  };
};

function request(locks: LockManager, name: string, options: LockOptions): Promise<RecordLease | null> {
  return new Promise((answer, fail) => {
    const held = locks.request(name, options, (lock) => {
      if (!lock) return answer(null);
      return new Promise<void>((letGo) =>
        answer({
          release: async () => {
            letGo();
            await held; // so that whoever asks next finds it free
          },
        }),
      );
    });
    held.catch(fail);
  });
}
