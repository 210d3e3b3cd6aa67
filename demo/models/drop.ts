/** A folder, or files, dropped onto the page. */
import { onFilesDropped } from '../drops.ts';

const entriesOf = (reader: FileSystemDirectoryReader): Promise<FileSystemEntry[]> =>
  new Promise((resolve, reject) => reader.readEntries(resolve, reject));

/** The files of a folder, not of folders in it: a model lies in one. */
async function filesIn(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = folder.createReader();
  const found: File[] = [];
  // A hundred at a time, until none are left.
  for (let some = await entriesOf(reader); some.length > 0; some = await entriesOf(reader)) {
    const files = some.filter((entry): entry is FileSystemFileEntry => entry.isFile);
    found.push(
      ...(await Promise.all(files.map((f) => new Promise<File>((resolve, reject) => f.file(resolve, reject))))),
    );
  }
  return found;
}

/** @returns the files, and the folder's name where one was dropped */
async function dropped(data: DataTransfer): Promise<{ files: readonly File[]; folder: string }> {
  // The items are gone after the event: both are read before anything is awaited.
  const files = [...data.files];
  const entry = data.items[0]?.webkitGetAsEntry();
  if (!entry?.isDirectory) return { files, folder: '' };
  return { files: await filesIn(entry as FileSystemDirectoryEntry), folder: entry.name };
}

export function acceptDrops(element: HTMLElement, onFiles: (files: readonly File[], folder: string) => void): void {
  onFilesDropped(element, (data) => {
    void dropped(data).then(({ files, folder }) => {
      if (files.length) onFiles(files, folder);
    });
  });
}
