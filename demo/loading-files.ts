/** What unfolds from the bar of a load: each file of the checkpoint with its bytes. It stays as it was while the load is paused. */
import type { FileProgress } from '../src/index.ts';
import { h } from './dom.ts';
import { formatBytes } from './format.ts';

/** `1 of 3 files complete` */
export function filesText(files: readonly FileProgress[]): string {
  if (files.length === 0) return 'Files';
  const complete = files.filter(({ loadedBytes, totalBytes }) => loadedBytes >= totalBytes).length;
  return `${complete} of ${files.length} ${files.length === 1 ? 'file' : 'files'} complete`;
}

export const fileText = ({ loadedBytes, totalBytes }: FileProgress): string =>
  loadedBytes >= totalBytes ? formatBytes(totalBytes) : `${formatBytes(loadedBytes)} of ${formatBytes(totalBytes)}`;

class FileRow {
  readonly element: HTMLElement;
  readonly #text = h('span', { class: 'numbers' });
  readonly #bar = h('progress', { 'aria-hidden': 'true' });

  constructor(name: string) {
    this.element = h('li', {}, h('span', { class: 'file-name' }, name), this.#text, this.#bar);
  }

  show(file: FileProgress): void {
    this.#text.textContent = fileText(file);
    this.#bar.max = file.totalBytes;
    this.#bar.value = file.loadedBytes;
  }
}

export class FileList {
  readonly #summary = h('summary', { class: 'numbers' }, filesText([]));
  readonly #list = h('ul', { class: 'plain file-list', role: 'list' });
  readonly #rows = new Map<string, FileRow>();
  readonly element = h(
    'details',
    { class: 'files' },
    this.#summary,
    h('p', { class: 'muted small not-yet' }, 'They are known once the model’s description is read.'),
    this.#list,
  );

  show(files: readonly FileProgress[]): void {
    this.#summary.textContent = filesText(files);
    this.element.classList.toggle('known', files.length > 0);
    const names = new Set(files.map(({ name }) => name));
    for (const [name, row] of this.#rows) {
      if (names.has(name)) continue;
      row.element.remove();
      this.#rows.delete(name);
    }
    for (const file of files) this.#row(file.name).show(file);
  }

  #row(name: string): FileRow {
    const known = this.#rows.get(name);
    if (known) return known;
    const row = new FileRow(name);
    this.#rows.set(name, row);
    this.#list.append(row.element);
    return row;
  }
}
