/** Finding added tokens (`<|im_end|>`, `<think>`, runs of spaces) in text: leftmost, then longest, as the reference library does. */

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Left out of decoded text with `skipSpecial`. */
  readonly special: boolean;
  /** Matched in normalized text instead of the text as given. */
  readonly normalized: boolean;
  /** White space before it, or after it, belongs to it. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Only between characters that are no letters, digits or underscores. */
  readonly singleWord: boolean;
}

/** Half-open, in UTF-16 units. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Runs of white space are added tokens in some vocabularies (GPT-NeoX); they are plain text, nobody can do harm with them. */
export const isPlainText = (token: AddedToken): boolean => !token.special && /^[\s\u2581]+$/u.test(token.content);

interface Node {
  readonly next: Map<number, Node>;
  token: AddedToken | null;
}

const isWord = (c: string | undefined): boolean => c !== undefined && /[\p{L}\p{N}\p{M}_]/u.test(c);

export type Part =
  { readonly token: AddedToken } | { readonly token: null; readonly start: number; readonly end: number };

export class TokenFinder {
  readonly #root: Node = { next: new Map(), token: null };
  readonly size: number;

  constructor(tokens: Iterable<readonly [string, AddedToken]>) {
    let size = 0;
    for (const [content, token] of tokens) {
      let node = this.#root;
      for (let i = 0; i < content.length; i++) {
        const c = content.charCodeAt(i);
        let next = node.next.get(c);
        if (!next) node.next.set(c, (next = { next: new Map(), token: null }));
        node = next;
      }
      if (content) {
        node.token = token;
        size++;
      }
    }
    this.size = size;
  }

  #longestAt(text: string, start: number, end: number, allowed: Allowed): { token: AddedToken; end: number } | null {
    let best: { token: AddedToken; end: number } | null = null;
    let node: Node | undefined = this.#root;
    for (let i = start; i < end && (node = node.next.get(text.charCodeAt(i))); i++) {
      const { token } = node;
      if (!token || !allowed(token, start, i + 1)) continue;
      if (token.singleWord && (isWord(text[start - 1]) || isWord(text[i + 1]))) continue;
      best = { token, end: i + 1 };
    }
    return best;
  }

  /** Cuts text[start, end) into added tokens that `allowed` lets pass and the stretches between them (never empty). */
  split(text: string, { start, end }: Span, allowed: Allowed): Part[] {
    if (!this.size) return start < end ? [{ token: null, start, end }] : [];
    const parts: Part[] = [];
    let open = start;
    const close = (to: number): void => {
      let from = open;
      const before = parts.at(-1);
      if (before?.token?.rstrip) while (from < to && /\s/.test(text[from]!)) from++;
      if (from < to) parts.push({ token: null, start: from, end: to });
    };
    for (let i = start; i < end;) {
      const match = this.#longestAt(text, i, end, allowed);
      if (!match) {
        i++;
        continue;
      }
      let to = i;
      if (match.token.lstrip) while (to > open && /\s/.test(text[to - 1]!)) to--;
      close(to);
      parts.push({ token: match.token });
      i = open = match.end;
    }
    close(end);
    return parts;
  }
}

export type Allowed = (token: AddedToken, start: number, end: number) => boolean;
