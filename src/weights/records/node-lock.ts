/**
 * Locks between processes, as files. Node only: the browser entry never imports this.
 *
 * Each taking of a lock makes a file with the next number, `<id>.<n>`, which only one process can; the highest number counts. Lower ones are
 * deleted only by whoever has a higher one, so a process that acts on an old listing finds a higher number afterwards, and yields.
 */
import { randomUUID } from 'node:crypto';
import { link, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { StorageError } from '../../errors.ts';
import type { RecordLease, RecordLock } from './lock.ts';

interface Owner {
  readonly host: string;
  readonly pid: number;
  /** When the process started, where the system tells: numbers of processes are used again. */
  readonly started: string | null;
  /** Of this taking. */
  readonly token: string;
}

/** Content of a lock that was given back. */
const FREE = 'free';

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : null);

/** @param dir the folder of all models, whose locks are in `.locks` inside; a lock of a process that died is taken over */
export function nodeLock(dir: string): RecordLock {
  const locks = join(resolve(dir), '.locks');
  const mine = new Set<string>();

  const path = (id: string, turn: number): string => join(locks, `${id}.${turn}`);

  const turns = async (id: string): Promise<number[]> => {
    const names = await readdir(locks).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT') return [];
      throw error;
    });
    const found = names.filter((name) => name.startsWith(`${id}.`)).map((name) => name.slice(id.length + 1));
    return found.filter((turn) => /^\d+$/.test(turn)).map(Number);
  };

  /** The highest turn, and whether its owner is alive. */
  const look = async (id: string): Promise<{ turn: number; isHeld: boolean }> => {
    const turn = Math.max(0, ...(await turns(id)));
    if (turn === 0) return { turn, isHeld: false };
    const text = await readFile(path(id, turn), 'utf8').catch(() => null);
    // Gone in between: somebody with a higher number has cleaned up, so look again.
    if (text === null) return look(id);
    return { turn, isHeld: text !== FREE && (await isAlive(readOwner(text), mine)) };
  };

  /** The content is there as soon as the file is. @returns false when somebody else was faster */
  const put = async (file: string, text: string): Promise<boolean> => {
    const temporary = `${file}.${randomUUID()}`;
    await writeFile(temporary, text);
    try {
      await link(temporary, file);
      return true;
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false;
      throw error;
    } finally {
      await rm(temporary, { force: true });
    }
  };

  const acquire = async (id: string): Promise<RecordLease | null> => {
    await mkdir(locks, { recursive: true });
    const before = await look(id);
    if (before.isHeld) return null;
    const owner: Owner = {
      host: hostname(),
      pid: process.pid,
      started: await startOf(process.pid),
      token: randomUUID(),
    };
    const turn = before.turn + 1;
    mine.add(owner.token); // before anybody can see it
    if (!(await put(path(id, turn), JSON.stringify(owner)))) {
      mine.delete(owner.token);
      return null;
    }
    const all = await turns(id);
    if (Math.max(...all) > turn) {
      mine.delete(owner.token);
      await rm(path(id, turn), { force: true });
      return null;
    }
    for (const old of all.filter((t) => t < turn)) await rm(path(id, old), { force: true });
    return {
      release: async () => {
        if (!mine.delete(owner.token)) return;
        // Emptied, not deleted: the numbers must go on.
        const temporary = `${path(id, turn)}.${owner.token}`;
        await writeFile(temporary, FREE);
        await rename(temporary, path(id, turn));
      },
    };
  };

  const typed = async <T>(work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      const message = `${locks} cannot hold a lock (${String(codeOf(error) ?? error)}): is the folder writable?`;
      throw new StorageError('failed', message, { path: locks }, { cause: error });
    });

  return {
    acquire: (id) => typed(acquire(id)),
    isHeld: (id) => typed(look(id).then(({ isHeld }) => isHeld)),
  };
}

function readOwner(text: string): Owner | null {
  try {
    const { host, pid, started, token } = JSON.parse(text) as Partial<Owner>;
    return typeof host === 'string' && Number.isSafeInteger(pid) && typeof token === 'string'
      ? { host, pid: pid!, started: started ?? null, token }
      : null;
  } catch {
    return null;
  }
}

/** A process on another machine counts as alive: nobody here can know. */
async function isAlive(owner: Owner | null, mine: ReadonlySet<string>): Promise<boolean> {
  if (!owner) return false;
  if (mine.has(owner.token)) return true;
  if (owner.host !== hostname()) return true;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    return codeOf(error) === 'EPERM'; // there, but somebody else's
  }
  return owner.started === (await startOf(owner.pid));
}

/** In ticks of the kernel, on Linux; elsewhere null. */
async function startOf(pid: number): Promise<string | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  // The second field is a name in parentheses, which may hold anything.
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? null;
}
