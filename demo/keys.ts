/** The page's keys: every part adds its own, and one dialog lists them all. */
import { recall, remember } from './remember.ts';

export interface Key {
  /** `?`, `mod+k`, `alt+ArrowUp`; `mod` is Ctrl, on Apple's systems Cmd. */
  readonly keys: string;
  readonly label: string;
  readonly group: string;
  /** Absent: the part listens by itself, the key is only listed. */
  readonly run?: () => void;
}

const SWITCH = 'webmoe-single-keys';
export const isApple = /Mac|iPhone|iPad/.test(globalThis.navigator?.userAgent ?? '');

/** Letters without Ctrl or Alt, which people who dictate would press by accident: they can be switched off. */
export const isSingle = (keys: string): boolean => keys.length === 1;

export function matches(
  keys: string,
  event: Pick<KeyboardEvent, 'key' | 'code' | 'altKey' | 'ctrlKey' | 'metaKey' | 'shiftKey'>,
): boolean {
  const parts = keys.split('+');
  const key = parts.pop()!;
  const mod = isApple ? event.metaKey : event.ctrlKey;
  const other = isApple ? event.ctrlKey : event.metaKey;
  // With Alt, a letter of Apple's keyboards is another character.
  const pressed = isApple && event.altKey ? event.code.replace(/^Key/, '') : event.key;
  const isShiftRight = isSingle(keys) || event.shiftKey === parts.includes('shift');
  return (
    pressed.toLowerCase() === key.toLowerCase() &&
    mod === parts.includes('mod') &&
    event.altKey === parts.includes('alt') &&
    isShiftRight &&
    !other
  );
}

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

export class Keys {
  readonly #all = new Set<Key>();

  listen(target: Document): void {
    target.addEventListener('keydown', (event) => {
      if (event.defaultPrevented || event.isComposing || target.querySelector('dialog[open]')) return;
      const key = [...this.#all].find(({ keys, run }) => run && matches(keys, event));
      if (!key || (isSingle(key.keys) && (!this.singleKeys || isTyping(event.target)))) return;
      event.preventDefault();
      key.run?.();
    });
  }

  /** @returns takes them away */
  add(...keys: readonly Key[]): () => void {
    for (const key of keys) this.#all.add(key);
    return () => {
      for (const key of keys) this.#all.delete(key);
    };
  }

  /** By group, in the order in which they were added. */
  get groups(): Map<string, Key[]> {
    const groups = new Map<string, Key[]>();
    for (const key of this.#all) groups.set(key.group, [...(groups.get(key.group) ?? []), key]);
    return groups;
  }

  get singleKeys(): boolean {
    return recall(SWITCH) !== 'off';
  }

  set singleKeys(on: boolean) {
    remember(SWITCH, on ? null : 'off');
  }
}

/** Those of this page. */
export const keys = new Keys();
