/** Whether the browser keeps what is stored when its disk runs low, and asking for it. */
import type { ModelStorage } from '../../src/index.ts';
import { button, h } from '../dom.ts';
import { errorSentence } from '../problem.ts';

export function keepControl(storage: ModelStorage): HTMLElement {
  const said = h('p', { class: 'said small', role: 'status' });
  const ask = button('Keep when disk runs low', 'quiet compact', () => void persist());
  ask.hidden = true;

  const say = (text: string, isError = false): void => {
    said.textContent = text;
    said.classList.toggle('error', isError);
  };
  const kept = (): void => {
    ask.hidden = true;
    say('The browser keeps these models when disk space runs low.');
  };

  async function persist(): Promise<void> {
    ask.disabled = true;
    try {
      if (await storage.persist()) kept();
      else say('The browser did not agree. It may once you have visited more often, or made a bookmark of this page.');
    } catch (error) {
      say(errorSentence(error, 'The browser could not be asked.'), true);
    }
    ask.disabled = false;
  }

  storage.persisted().then(
    (persisted) => {
      if (persisted) return kept();
      ask.hidden = false;
      say('The browser may delete these models when disk space runs low.');
    },
    () => {
      ask.hidden = false;
    },
  );
  return h('div', { class: 'keep' }, said, ask);
}
