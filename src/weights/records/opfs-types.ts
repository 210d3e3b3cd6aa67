/** What TypeScript's library for pages lacks: sync access handles exist in dedicated workers only. */

export interface SyncAccessHandle {
  read(into: Uint8Array, options: { readonly at: number }): number;
  write(bytes: Uint8Array, options: { readonly at: number }): number;
  getSize(): number;
  truncate(bytes: number): void;
  flush(): void;
  close(): void;
}

/** `readwrite`, the default, shuts out everybody else. */
export type SyncAccessMode = 'readwrite' | 'readwrite-unsafe' | 'read-only';

export interface SyncFileHandle extends FileSystemFileHandle {
  createSyncAccessHandle(options?: { readonly mode: SyncAccessMode }): Promise<SyncAccessHandle>;
}

/** Whether this thread may open sync access handles. */
export const hasSyncHandles = (): boolean =>
  typeof FileSystemFileHandle === 'function' && 'createSyncAccessHandle' in FileSystemFileHandle.prototype;
