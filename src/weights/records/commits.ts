/** Makes written records count, in groups: flush the files, then append the marks to the journal and flush that. Never the other way round. */
import { StorageError } from '../../errors.ts';
import { ENTRY_BYTES, encodeEntries, NO_SLOT, type JournalEntry } from './journal.ts';
import { writeManifest, type Manifest } from './manifest.ts';
import type { OpenFiles } from './open-files.ts';
import { dataName, type Placed, type RecordTable } from './record-table.ts';

export const JOURNAL = 'journal';

export interface GroupLimits {
  /** How long a written record may wait for its mark. */
  readonly delayMs: number;
  /** A group is committed when it has this many bytes or records. */
  readonly bytes: number;
  readonly records: number;
}

const DEFAULT_LIMITS: GroupLimits = { delayMs: 500, bytes: 64 * 2 ** 20, records: 512 };
/** Writers wait when this many groups' bytes are not safe yet: the disk is slower than the network. */
const GROUPS_AHEAD = 4;

export class Commits {
  readonly #files: OpenFiles;
  readonly #tables: readonly RecordTable[];
  readonly #limits: GroupLimits;
  readonly #onFailure: (error: StorageError) => void;
  #epoch = 0;
  #journalBytes = 0;
  #written: (Placed & { readonly file: number })[] = [];
  #writtenBytes = 0;
  #drops: JournalEntry[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  /** Bytes that are not safe yet: entered, written, or being flushed. */
  #aheadBytes = 0;
  readonly #waiting: (() => void)[] = [];

  /** @param onFailure hears of marks that could not be made: from then on nothing new will be found again */
  constructor(
    files: OpenFiles,
    tables: readonly RecordTable[],
    limits: Partial<GroupLimits>,
    onFailure: (error: StorageError) => void,
  ) {
    this.#files = files;
    this.#tables = tables;
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#onFailure = onFailure;
  }

  /** Goes on where an earlier session ended. */
  resume(epoch: number, journalBytes: number): void {
    this.#epoch = epoch;
    this.#journalBytes = journalBytes;
  }

  /** Before a record is written. Waits while too much is being written or waits to be flushed. @param bytes its stride */
  async enter(bytes: number): Promise<void> {
    while (this.#aheadBytes > 0 && this.#aheadBytes + bytes > GROUPS_AHEAD * this.#limits.bytes) {
      this.#commitNow();
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#aheadBytes += bytes;
  }

  /** A record that entered was not written. */
  left(bytes: number): void {
    this.#aheadBytes -= bytes;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** A record that entered is in its file. */
  wrote(file: number, placed: Placed): void {
    this.#written.push({ file, ...placed });
    this.#writtenBytes += this.#tables[file]!.stride;
    const isGroup = this.#writtenBytes >= this.#limits.bytes || this.#written.length >= this.#limits.records;
    if (isGroup || this.#waiting.length > 0) this.#commitNow();
    else this.#commitSoon();
  }

  dropped(file: number, index: number): void {
    this.#drops.push({ file, index, slot: NO_SLOT, bytes: 0, sum: 0 });
    this.#commitSoon();
  }

  /** Returns when all that was written before is safe and marked, or has failed. */
  async sync(): Promise<void> {
    this.#commitNow();
    await this.#tail;
  }

  /**
   * Writes a manifest of all marked records, and starts the journal anew.
   * @param describe called when every mark is made
   * @throws StorageError, QuotaExceeded: then the old manifest and journal go on
   */
  async compact(describe: (epoch: number) => Manifest): Promise<void> {
    this.#commitNow();
    await this.#inTurn(async () => {
      // Always of ten digits: on a full disk the next manifest must not be longer than this one.
      const epoch = (crypto.getRandomValues(new Uint32Array(1))[0]! | 0x80000000) >>> 0;
      await writeManifest(this.#files.folder, describe(epoch));
      // From here on the journal's old entries count no more, whether they are still there or not.
      this.#epoch = epoch;
      this.#journalBytes = 0;
      const journal = await this.#files.get(JOURNAL);
      await journal.truncate(0);
      // Room for all marks: on a disk that the records have filled, they must still be made.
      const marks = this.#tables.reduce((sum, { spec }) => sum + spec.count, 0);
      await journal.truncate(marks * ENTRY_BYTES);
    });
  }

  #commitSoon(): void {
    this.#timer ??= setTimeout(() => this.#commitNow(), this.#limits.delayMs);
  }

  #commitNow(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#written.length + this.#drops.length === 0) return;
    const written = this.#written;
    const drops = this.#drops;
    const bytes = this.#writtenBytes;
    this.#written = [];
    this.#drops = [];
    this.#writtenBytes = 0;
    const commit = this.#inTurn(async () => {
      try {
        await this.#commit(written, drops);
      } catch (error) {
        if (!(error instanceof StorageError)) throw error;
        this.#onFailure(error);
      } finally {
        this.left(bytes);
      }
    });
    void commit.then(); // what is not a StorageError is a mistake of ours: it must show as an unhandled rejection
  }

  async #commit(written: readonly (Placed & { file: number })[], drops: readonly JournalEntry[]): Promise<void> {
    for (const file of new Set(written.map((w) => w.file)))
      await (await this.#files.get(dataName(this.#tables[file]!.spec))).flush();
    // What was dropped meanwhile must not be marked: its place may hold another record by now.
    const marks = written.filter((w) => this.#tables[w.file]!.holds(w));
    const entries = encodeEntries([...drops, ...marks], this.#epoch);
    const journal = await this.#files.get(JOURNAL);
    await journal.write(entries, this.#journalBytes);
    await journal.flush();
    this.#journalBytes += entries.length;
    for (const mark of marks) {
      const table = this.#tables[mark.file]!;
      if (table.holds(mark)) table.place(mark, 'marked');
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#tail.then(work);
    this.#tail = next.catch(() => undefined);
    return next;
  }
}
