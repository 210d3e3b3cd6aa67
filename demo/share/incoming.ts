/** The link that this page was opened with, or that was put into its address later. */
import { ReadError } from '../conversations/read.ts';
import { fromFragment, type Shared } from './link.ts';

export class IncomingLink {
  #shared: Shared | null = null;
  readonly #onChange: (problem: string | null) => void;
  readonly #read = (): void => {
    const problem = this.#take();
    if (this.#shared || problem) this.#onChange(problem);
  };

  /** @param onChange another link came; with a sentence when it is damaged */
  constructor(onChange: (problem: string | null) => void) {
    this.#onChange = onChange;
    const problem = this.#take();
    if (problem) queueMicrotask(() => onChange(problem));
    addEventListener('hashchange', this.#read);
  }

  /** null: none, or it was dealt with. */
  get shared(): Shared | null {
    return this.#shared;
  }

  /** It was asked or dismissed: a reload must not bring it again. */
  done(): void {
    this.#shared = null;
    history.replaceState(null, '', location.pathname + location.search);
  }

  dispose(): void {
    removeEventListener('hashchange', this.#read);
  }

  #take(): string | null {
    try {
      this.#shared = fromFragment(location.hash);
      return null;
    } catch (error) {
      if (!(error instanceof ReadError)) throw error;
      this.done();
      return `${error.message}.`;
    }
  }
}
