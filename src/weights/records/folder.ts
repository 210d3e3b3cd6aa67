/** A folder of binary files that survives the session: the Origin Private File System, a path, or memory. */

export interface RecordFolder {
  /** `opfs`: sync access handles, here or in an I/O worker. `opfs-async`: without them. */
  readonly kind: 'opfs' | 'opfs-async' | 'path' | 'memory';
  /** For messages. */
  readonly label: string;
  /** Opens for reading and writing. null when it does not exist and `create` is false. @throws StorageError */
  open(name: string, options?: { readonly create?: boolean }): Promise<RecordFile | null>;
  /** Files only, in no order. */
  list(): Promise<readonly { readonly name: string; readonly bytes: number }[]>;
  /** Nothing happens when it does not exist. */
  remove(name: string): Promise<void>;
  /** A folder inside, made when missing. */
  folder(name: string): Promise<RecordFolder>;
  folders(): Promise<readonly string[]>;
  removeFolder(name: string): Promise<void>;
  /** Closes every file that is open. */
  close(): Promise<void>;
}

export interface RecordFile {
  size(): Promise<number>;
  /** @returns how many bytes were read: fewer than `into.length` only at the end of the file */
  read(into: Uint8Array, at: number): Promise<number>;
  /** @throws QuotaExceeded when there is no room; what was written before stays */
  write(bytes: Uint8Array, at: number): Promise<void>;
  truncate(bytes: number): Promise<void>;
  /** Returns when what was written is safe from a crash of this program. */
  flush(): Promise<void>;
  close(): Promise<void>;
}
