/** What becomes of a download: whether it is kept, how much room there is, and what is here already. */
import type { ModelStorage, Plan } from '../../src/index.ts';
import { formatBytes } from '../format.ts';
import { isComplete } from '../storage/words.ts';
import { isFolder, type Choice } from './choice.ts';
import { keptOf } from './recent.ts';

/** Bytes that the browser would still store for this site; null where it does not say. */
async function roomBytes(): Promise<number | null> {
  const storage = (navigator as { storage?: StorageManager }).storage; // absent on insecure pages
  const { quota, usage } = (await storage?.estimate().catch(() => undefined)) ?? {};
  return quota === undefined || usage === undefined ? null : Math.max(0, quota - usage);
}

/** @param storage absent or null: nothing is kept */
export async function keepingText(
  storage: ModelStorage | null | undefined,
  choice: Choice,
  { downloadBytes, precision }: Pick<Plan, 'downloadBytes' | 'precision'>,
): Promise<string> {
  if (isFolder(choice)) return '';
  if (!storage) return `${formatBytes(downloadBytes)}, each time: this browser keeps nothing for this page.`;
  const kept = keptOf(await storage.list().catch(() => []), choice, precision);
  if (kept && isComplete(kept)) return 'It is on this computer already: nothing is downloaded but what has changed.';
  if (kept)
    return `${formatBytes(kept.bytes)} of ${formatBytes(kept.totalBytes)} are on this computer already; only the rest is downloaded.`;
  const room = await roomBytes();
  const said = room === null ? '' : ` It has room for ${formatBytes(room)}.`;
  return `${formatBytes(downloadBytes)}, then kept in this browser.${said}`;
}
