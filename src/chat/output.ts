/** What a model writes, taken apart: words for the reader, thoughts, and calls of tools. */
import { MarkedText } from './markers.ts';

export type OutputPiece =
  | { readonly kind: 'content'; readonly text: string }
  | { readonly kind: 'reasoning'; readonly text: string }
  /** A call begins; calls are numbered from 0. */
  | { readonly kind: 'call'; readonly call: number; readonly name: string }
  | { readonly kind: 'arguments'; readonly call: number; readonly text: string };

export interface OutputParser {
  push(text: string): OutputPiece[];
  /** What was held back; the parser is used up. */
  end(): OutputPiece[];
}

/** Where the parts of a parser write. */
export class OutputSink {
  #pieces: OutputPiece[] = [];
  #calls = 0;
  /** White space that is shown once more text of its kind follows. */
  #blanks = '';
  #kind: 'content' | 'reasoning' = 'content';
  #isFresh = false;

  /** Goes on in another kind of text: white space on both sides of the border is left out. */
  enter(kind: 'content' | 'reasoning'): void {
    this.#kind = kind;
    this.#blanks = '';
    this.#isFresh = true;
  }

  text(text: string): void {
    const all = this.#blanks + text;
    const shown = this.#isFresh ? all.trimStart() : all;
    const end = shown.trimEnd().length;
    this.#blanks = shown.slice(end);
    if (end === 0) return;
    this.#isFresh = false;
    this.#pieces.push({ kind: this.#kind, text: shown.slice(0, end) });
  }

  call(name: string): void {
    this.#pieces.push({ kind: 'call', call: this.#calls++, name });
  }

  arguments(text: string): void {
    if (text) this.#pieces.push({ kind: 'arguments', call: this.#calls - 1, text });
  }

  take(): OutputPiece[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }

  /** The answer is over: white space at its end belongs to it. */
  end(): OutputPiece[] {
    if (this.#blanks && !this.#isFresh) this.#pieces.push({ kind: this.#kind, text: this.#blanks });
    return this.take();
  }
}

/** One state of a parser: the markers that end it, and what to do with its text. */
export interface State {
  readonly markers: readonly string[];
  text(text: string): void;
  /** @returns the state that goes on after the marker */
  marker(marker: string): State;
  /** The text ends here. */
  end?(): void;
}

export function runStates(first: State, sink: OutputSink): OutputParser {
  const marked = new MarkedText();
  let state = first;
  return {
    push(text) {
      marked.push(text);
      for (;;) {
        const cut = marked.next(state.markers);
        if (cut.text) state.text(cut.text);
        if (cut.marker === null) return sink.take();
        state = state.marker(cut.marker);
      }
    },
    end() {
      const rest = marked.rest();
      if (rest) state.text(rest);
      state.end?.();
      return sink.end();
    },
  };
}
