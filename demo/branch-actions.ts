/** What can be done with the messages of the open conversation beside asking: delete, go through versions, share. */
import type { Thread } from './conversations/thread.ts';
import type { Message } from './conversations/types.ts';
import type { MessageLog } from './message-log.ts';
import type { Action } from './problem-view.ts';
import { openShare } from './share/dialog.ts';
import type { Toasts } from './toasts.ts';

export interface BranchActionsParts {
  readonly messages: MessageLog;
  readonly toasts: Toasts;
  /** The conversation that is shown. */
  readonly thread: () => Thread;
  readonly render: () => void;
  readonly focusBox: () => void;
}

export class BranchActions {
  readonly #parts: BranchActionsParts;

  constructor(parts: BranchActionsParts) {
    this.#parts = parts;
  }

  async delete(message: Message): Promise<void> {
    const { thread: shown, render, focusBox, toasts } = this.#parts;
    const thread = shown();
    if (thread.isBusy) return;
    const putBack = await thread.remove(message);
    const undo: Action = {
      label: 'Undo',
      run: () =>
        void putBack().then(() => {
          if (thread === shown()) render();
        }),
    };
    render();
    focusBox();
    toasts.show('The message is deleted, with what followed it.', { action: undo });
  }

  /** Shows the message beside it. */
  async step(message: Message, step: -1 | 1): Promise<void> {
    const thread = this.#parts.thread();
    const all = thread.beside(message);
    const next = all[all.findIndex((m) => m.id === message.id) + step];
    if (!next || thread.isBusy) return;
    await thread.show(next.id);
    this.focusSwitch(next.id, step);
  }

  focusSwitch(id: string, step: -1 | 1): void {
    this.#parts.render();
    this.#parts.messages.view(id)?.focusSwitch(step);
  }

  share(message: Message): void {
    const { info, messages } = this.#parts.thread();
    const question = message.role === 'user' ? message : messages.find((m) => m.id === message.parent);
    if (!question) return;
    const { system, settings } = info;
    const seed = message.figures?.seed;
    const shared = { prompt: question.content, system, settings: { ...settings, ...(seed !== undefined && { seed }) } };
    openShare(shared, question.parent === null);
  }
}
