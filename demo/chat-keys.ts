/** The keys of the chat, as the list of keys shows them. */
import { openKeys } from './keys-dialog.ts';
import { keys, type Key } from './keys.ts';

export interface ChatKeyActions {
  readonly focusBox: () => void;
  readonly regenerate: () => void;
  readonly settings: () => void;
  readonly newChat: () => void;
  readonly search: () => void;
  readonly toggleList: () => void;
  readonly undo: () => void;
}

export function chatKeys(actions: ChatKeyActions): Key[] {
  const [chat, lists] = ['Chat', 'Conversations'];
  return [
    { keys: 'Enter', label: 'Send', group: chat },
    { keys: 'shift+Enter', label: 'New line', group: chat },
    { keys: 'Escape', label: 'Stop the answer', group: chat },
    { keys: '/', label: 'Go to the message box', group: chat, run: actions.focusBox },
    { keys: 'alt+r', label: 'Regenerate the last answer', group: chat, run: actions.regenerate },
    { keys: 'mod+,', label: 'Settings', group: chat, run: actions.settings },
    { keys: 'alt+n', label: 'New chat', group: lists, run: actions.newChat },
    { keys: 'mod+k', label: 'Search', group: lists, run: actions.search },
    { keys: 'mod+b', label: 'Show or hide the list', group: lists, run: actions.toggleList },
    { keys: 'F2', label: 'Rename, in the list', group: lists },
    { keys: 'Delete', label: 'Delete, in the list', group: lists },
    { keys: 'alt+z', label: 'Undo a deletion', group: lists, run: actions.undo },
    { keys: '?', label: 'This list', group: 'Page', run: () => openKeys(keys) },
  ];
}
