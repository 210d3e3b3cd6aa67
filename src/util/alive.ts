/**
 * Whether another thread of this site still lives, told by a Web Lock that it holds: the browser frees it when its holder ends, however that
 * happens, and not while its holder is merely busy. Without Web Locks (insecure pages, Node) nothing is told.
 */

/** Resolves when the lock is held. @returns lets go */
export function holdLock(name: string): Promise<() => void> {
  return new Promise((held, failed) => {
    const { locks } = navigator;
    if (!locks) return held(() => undefined);
    locks.request(name, () => new Promise<void>((letGo) => held(letGo))).catch(failed);
  });
}

/** Calls `gone` when nobody holds the lock any more, unless the signal came first. */
export function watchLock(name: string, signal: AbortSignal, gone: () => void): void {
  navigator.locks?.request(name, { signal }, gone).catch(() => undefined);
}
