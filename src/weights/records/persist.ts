/** Asks the browser to keep this site's data when disk space runs low. Call it from a click. @returns whether it will */
export const persist = (): Promise<boolean> => ask('persist');
/** Whether the browser has agreed to keep this site's data. */
export const persisted = (): Promise<boolean> => ask('persisted');

async function ask(what: 'persist' | 'persisted'): Promise<boolean> {
  try {
    return (await navigator.storage[what]()) === true;
  } catch {
    return false; // not in workers, not everywhere
  }
}
