/** What the list does with conversations: rename, delete with a way back, export, import. */
import { openKeys } from '../keys-dialog.ts';
import { keys } from '../keys.ts';
import type { Toasts } from '../toasts.ts';
import { plural } from '../format.ts';
import { fromJson, toJson, withNewIds } from './file.ts';
import type { Library } from './library.ts';
import { toMarkdown } from './markdown.ts';
import { ConversationPanel, type PanelEvents } from './panel.ts';
import { ReadError } from './read.ts';
import { fileNameOf, saveFile } from './save-file.ts';

/** Larger than any conversation; a wrong file must not freeze the page. */
const LARGEST_FILE = 256e6;

const today = (): string => new Date().toISOString().slice(0, 10);

async function importFile(library: Library, file: File): Promise<number> {
  if (file.size > LARGEST_FILE) throw new ReadError('The file', 'at most 256 MB large');
  const conversations = fromJson(await file.text());
  for (const conversation of conversations) await library.add(withNewIds(conversation));
  return conversations.length;
}

export function shelf(
  library: Library,
  toasts: Toasts,
  events: Pick<PanelEvents, 'onOpen' | 'onNew' | 'onClose'> & { readonly onDeleted: (id: string) => void },
): ConversationPanel {
  async function remove(id: string): Promise<void> {
    panel.focusAfter(id);
    events.onDeleted(id);
    const removed = await library.remove(id);
    if (!removed) return;
    const undo = { label: 'Undo', run: () => void library.add(removed) };
    toasts.show(`“${removed.info.title}” is deleted.`, { action: undo });
  }

  async function importFiles(files: readonly File[]): Promise<void> {
    for (const file of files) {
      try {
        toasts.show(`${plural(await importFile(library, file), 'conversation')} imported.`);
      } catch (error) {
        const why = error instanceof ReadError ? `${error.message}.` : 'It could not be read.';
        toasts.show(`${file.name}: ${why} Nothing was imported.`, { isError: true });
      }
    }
  }

  function exportOne(id: string, format: 'json' | 'markdown'): void {
    const conversation = library.get(id);
    if (!conversation) return;
    const name = fileNameOf(conversation.info.title);
    if (format === 'json') saveFile(`${name}.json`, toJson([conversation]), 'application/json');
    else saveFile(`${name}.md`, toMarkdown(conversation), 'text/markdown');
  }

  const panel = new ConversationPanel(library, {
    ...events,
    onRename: (id, title) => void library.setInfo(id, { title }),
    onDelete: (id) => void remove(id),
    onExport: exportOne,
    onExportAll: () => saveFile(`webmoe-conversations-${today()}.json`, toJson(library.all), 'application/json'),
    onFiles: (files) => void importFiles(files),
    onKeys: () => openKeys(keys),
  });
  return panel;
}
