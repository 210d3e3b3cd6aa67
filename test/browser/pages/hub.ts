/** Models on a Hub on `window`, and a look at everything that a page leaves in its browser. */
import { load, models, plan, type HubModel, type StoredModel } from '../../../src/index.ts';

/** Of all files below a folder of the origin's private file system. */
async function* bytesBelow(folder: FileSystemDirectoryHandle): AsyncGenerator<Uint8Array> {
  const entries = folder as unknown as { values(): AsyncIterable<FileSystemFileHandle | FileSystemDirectoryHandle> };
  for await (const entry of entries.values()) {
    if (entry.kind === 'directory') yield* bytesBelow(entry);
    else yield new Uint8Array(await (await entry.getFile()).arrayBuffer());
  }
}

export const hub = {
  /** Drawn ids of a greedy answer, when everything that can be kept is. */
  async draw(model: HubModel): Promise<number[]> {
    // In this thread: without a network, no worker could be started from the site's files.
    const loaded = await load(model, { contextLength: 64, prefillChunk: 16, worker: false });
    try {
      const ids: number[] = [];
      const prompt = { ids: [1, 2, 3, 4] };
      for await (const { id } of loaded.generate(prompt, { temperature: 0, maxTokens: 4, ignoreEnd: true }))
        ids.push(id);
      await loaded.settled();
      return ids;
    } finally {
      await loaded.dispose();
    }
  },

  verdict: (model: HubModel | string): Promise<string> =>
    plan(model).then(
      (found) => found.verdict,
      (error: Error) => `${error.name}: ${error.message}`,
    ),

  list: (): Promise<readonly StoredModel[]> => models.list(),

  async clear(): Promise<number> {
    for (const { id } of await models.list()) await models.delete(id);
    return (await models.list()).length;
  },

  /** Files that hold the text, and bytes looked at. */
  async find(text: string): Promise<{ readonly hits: number; readonly bytes: number }> {
    let hits = JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]).includes(
      text,
    )
      ? 1
      : 0;
    let bytes = 0;
    for await (const file of bytesBelow(await navigator.storage.getDirectory())) {
      bytes += file.length;
      if (new TextDecoder('latin1').decode(file).includes(text)) hits++;
    }
    for (const name of await caches.keys())
      for (const { url } of await (await caches.open(name)).keys()) if (url.includes(text)) hits++;
    return { hits, bytes };
  },
};

declare global {
  interface Window {
    hub: typeof hub;
  }
}

window.hub = hub;
