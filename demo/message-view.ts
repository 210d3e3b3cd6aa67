/** One message on the page. */
import type { GenerateSummary } from '../src/index.ts';
import { button, h } from './dom.ts';
import { formatRate, formatSeconds, plural } from './format.ts';
import type { Action } from './problem-view.ts';
import { MessageBody } from './text/message-body.ts';

export const userMessage = (text: string): HTMLElement =>
  h('article', { class: 'message user', 'aria-label': 'You' }, h('div', { class: 'text', dir: 'auto' }, text));

/** `3.4 tokens/s · first token after 0.52 s · 45 tokens` */
export function summaryLine(summary: GenerateSummary): string {
  return [
    summary.finishReason === 'abort' ? 'Stopped' : null,
    summary.tokensPerSecond === null ? null : formatRate(summary.tokensPerSecond),
    summary.generatedTokens ? `first token after ${formatSeconds(summary.timeToFirstTokenMs)}` : null,
    plural(summary.generatedTokens, 'token'),
    summary.approximations.length ? `approximate: ${summary.approximations.join('; ')}` : null,
  ]
    .filter((part) => part !== null)
    .join(' · ');
}

export class AnswerView {
  readonly element: HTMLElement;
  readonly #body = new MessageBody();
  readonly #status: HTMLElement;
  #firstAt: number | null = null;

  constructor(text = '') {
    if (text) {
      this.#body.append(text);
      this.#body.finish();
    }
    this.#status = h('p', { class: 'status numbers' });
    this.element = h(
      'article',
      { class: 'message assistant', 'aria-label': 'Answer' },
      this.#body.element,
      this.#status,
    );
  }

  /** The Markdown source. */
  get text(): string {
    return this.#body.text;
  }

  waiting(what: string): void {
    this.element.classList.add('waiting');
    this.#status.textContent = what;
  }

  append(text: string, tokens: number): void {
    this.element.classList.remove('waiting');
    this.#body.append(text);
    const now = performance.now();
    this.#firstAt ??= now;
    const seconds = (now - this.#firstAt) / 1000;
    const rate = tokens > 1 && seconds > 0 ? ` · ${formatRate((tokens - 1) / seconds)}` : '';
    this.#status.textContent = plural(tokens, 'token') + rate;
  }

  finish(line: string): void {
    this.element.classList.remove('waiting');
    this.#body.finish();
    this.#status.textContent = line;
  }

  /** A remark under the answer, with what to do about it. */
  note(text: string, actions: readonly Action[], isError = false): void {
    this.#body.element.hidden = this.text === '';
    this.#status.hidden = this.#status.textContent === '';
    this.element.append(
      h(
        'div',
        { class: isError ? 'note error' : 'note', role: isError ? 'alert' : 'note' },
        h('span', {}, text),
        ...actions.map(({ label, run }) => button(label, 'quiet compact', run)),
      ),
    );
  }
}
