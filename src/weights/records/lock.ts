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
  /** By anyone, this process included. */
  isHeld(id: string): Promise<boolean>;
}

/** For folders that no other process can see. */
export function localLock(): RecordLock {
  const held = new Set<string>();
  return {
    acquire: async (id) => {
      if (held.has(id)) return null;
      held.add(id);
      let released = false;
      return {
        release: async () => {
          if (!released) held.delete(id);
          released = true;
        },
      };
    },
    isHeld: async (id) => held.has(id),
  };
}
