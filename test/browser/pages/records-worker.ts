/** Record folders in a dedicated worker, as an engine that runs in one has them. */
import { openBrowserFolder, TOP_FOLDER } from '../../../src/weights/records/browser-folder.ts';
import { persist } from '../../../src/weights/records/persist.ts';
import { opfsFolder } from '../../../src/weights/records/opfs-folder.ts';
import { webLock } from '../../../src/weights/records/web-lock.ts';
import { folderCases } from '../../support/record-folder-cases.ts';
import { readSpeed, writeSpeed } from './records-speed.ts';

const calls = {
  async runCase(name: string): Promise<void> {
    const top = await opfsFolder([TOP_FOLDER]);
    await folderCases.find((c) => c.name === name)!.run(await top.folder(`case-${crypto.randomUUID()}`));
    await top.close();
  },
  async speed(): Promise<{ write: number; read: number }> {
    const top = await opfsFolder([TOP_FOLDER]);
    const write = await writeSpeed(top);
    const read = await readSpeed(top, 1);
    await top.close();
    return { write, read };
  },
  async tier(): Promise<{ kind: string | undefined; note: string | null; isTemporary: boolean; persist: boolean }> {
    const { folder, note, isTemporary } = await openBrowserFolder({ worker: null });
    await folder?.close();
    return { kind: folder?.kind, note, isTemporary, persist: await persist() };
  },
  async lock(name: string): Promise<boolean> {
    return (await webLock().acquire(name)) !== null;
  },
};

addEventListener('message', ({ data }: MessageEvent<{ call: keyof typeof calls; args: [string] }>) => {
  calls[data.call](...data.args).then(
    (result) => postMessage({ result }),
    (error: unknown) => postMessage({ error: error instanceof Error ? `${error.name}: ${error.message}` : error }),
  );
});
