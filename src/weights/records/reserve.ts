/** Asks the disk for all the room at once, so that a quota is met before gigabytes are fetched, not after. */
import { QuotaExceeded } from '../../errors.ts';
import type { OpenFiles } from './open-files.ts';
import { dataName, type RecordTable } from './record-table.ts';

/**
 * @returns false when there is no room for all: then files are as long as their records need, so that none takes the room of another
 * @throws StorageError when the disk fails
 */
export async function reserve(files: OpenFiles, tables: readonly RecordTable[]): Promise<boolean> {
  try {
    for (const table of tables) {
      const bytes = table.stride * table.spec.count;
      if (table.fileBytes < bytes) await resize(files, table, bytes);
    }
    return true;
  } catch (error) {
    if (!(error instanceof QuotaExceeded)) throw error;
  }
  for (const table of tables) {
    const bytes = table.stride * table.usedSlots;
    if (table.fileBytes > bytes) await resize(files, table, bytes);
  }
  return false;
}

async function resize(files: OpenFiles, table: RecordTable, bytes: number): Promise<void> {
  await (await files.get(dataName(table.spec))).truncate(bytes);
  table.fileBytes = bytes;
}
