/** Who may write a stored model: one tab, one process. Browsers lend it through Web Locks, Node through files; memory needs only this process. */

export interface RecordLease {
  /** Calling it again does nothing. */
  release(): Promise<void>;
}

export interface RecordLock {
  /**
   * @param id a stored model's
   * @returns null when somebody else has it; never waits for them
   */
  acquire(id: string): Promise<RecordLease | null>;
  /** In turn, behind whoever has it and whoever waits. Absent: nobody can wait here. @throws the signal's reason when aborted */
  queue?(id: string, signal?: AbortSignal): Promise<RecordLease>;
  /** By anyone, this process included. */
  isHeld(id: string): Promise<boolean>;
}

/** For folders that no other process can see. */
export function localLock(): RecordLock {
  const held = new Set<string>();
  const waiting = new Map<string, (() => void)[]>();
  const take = (id: string): RecordLease => {
    held.add(id);
    let released = false;
    return {
      release: async () => {
        if (released) return;
        released = true;
        held.delete(id);
        waiting.get(id)?.shift()?.();
      },
    };
  };
  return {
    acquire: async (id) => (held.has(id) ? null : take(id)),
    async queue(id, signal) {
      signal?.throwIfAborted();
      if (!held.has(id)) return take(id);
      const queue = waiting.get(id) ?? [];
      waiting.set(id, queue);
      return new Promise((resolve, reject) => {
        const next = (): void => resolve(take(id));
        queue.push(next);
        signal?.addEventListener('abort', () => {
          const at = queue.indexOf(next);
          if (at >= 0) queue.splice(at, 1);
          reject(signal.reason);
        });
      });
    },
    isHeld: async (id) => held.has(id),
  };
}
