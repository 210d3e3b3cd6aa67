/** What stays while views change: the bar on top, the banner, the live region. */
import { button, h, iconButton } from './dom.ts';
import { installButton } from './offline/install.ts';
import { themeButton } from './theme.ts';

export interface FrameEvents {
  readonly onNewChat: () => void;
  readonly onChangeModel: () => void;
  /** Absent: nothing is stored, there is nothing to manage. */
  readonly onStorage?: () => void;
}

export type ViewName = 'checking' | 'start' | 'loading' | 'chat' | 'recorded' | 'problem';

/** Nine experts, three of them chosen. */
function mark(): HTMLElement {
  const dots = Array.from({ length: 9 }, (_, i) => h('i', { class: [1, 5, 6].includes(i) ? 'on' : '' }));
  return h('span', { class: 'mark', 'aria-hidden': 'true' }, ...dots);
}

export class Frame {
  readonly #root: HTMLElement;
  readonly #main: HTMLElement;
  readonly #banner: HTMLElement;
  /** What goes on by itself, while it does. */
  readonly #notice = h('p', { class: 'notice', role: 'note', hidden: true });
  /** What the visitor may do about the page itself. */
  readonly #offer = h('div', { class: 'notice page-offer', role: 'note', hidden: true });
  readonly #live: HTMLElement;
  readonly #model: HTMLElement;
  readonly #newChat: HTMLButtonElement;
  readonly #changeModel: HTMLButtonElement;
  /** Buttons that belong to the view, before the name of the page and behind it. */
  readonly #lead = h('span', { class: 'tools' });
  readonly #tools = h('span', { class: 'tools' });
  readonly #storage: HTMLButtonElement | null;

  constructor(root: HTMLElement, events: FrameEvents) {
    this.#root = root;
    this.#main = h('main', { id: 'main' });
    this.#banner = h('p', { class: 'banner', role: 'note', hidden: true });
    this.#live = h('div', { class: 'visually-hidden', role: 'status', 'aria-atomic': 'false' });
    this.#model = h('span', { class: 'model' });
    this.#newChat = iconButton('New chat', 'plus', events.onNewChat);
    this.#changeModel = iconButton('Change model', 'swap', events.onChangeModel);
    const { onStorage } = events;
    this.#storage = onStorage ? iconButton('Stored models', 'storage', onStorage) : null;
    const brand = h('span', { class: 'brand' }, mark(), h('span', { class: 'word' }, 'webmoe'));
    const bar = h(
      'header',
      {},
      this.#lead,
      brand,
      this.#model,
      this.#tools,
      this.#newChat,
      this.#changeModel,
      this.#storage,
      installButton(),
      themeButton(),
    );
    root.replaceChildren(bar, this.#offer, this.#banner, this.#notice, this.#main, this.#live);
  }

  show(
    name: ViewName,
    view: HTMLElement,
    model = '',
    tools: readonly HTMLElement[] = [],
    lead: readonly HTMLElement[] = [],
  ): void {
    this.#root.dataset.view = name;
    this.#lead.replaceChildren(...lead);
    this.#tools.replaceChildren(...tools);
    if (this.#storage) this.#storage.hidden = name === 'checking';
    this.#model.textContent = model;
    this.#model.title = model;
    this.#newChat.hidden = name !== 'chat';
    this.#changeModel.hidden = name !== 'chat' && name !== 'recorded';
    this.#main.replaceChildren(view);
    this.#main.scrollTop = 0;
    // A new view is read out from its title, and Tab goes on from there.
    view.querySelector<HTMLElement>('h1[tabindex]')?.focus();
  }

  checking(): HTMLElement {
    return h('p', { class: 'boot' }, 'Looking at this browser…');
  }

  warnSoftware(adapter: string): void {
    this.#banner.hidden = false;
    this.#banner.replaceChildren(
      h('strong', {}, 'No graphics card in use. '),
      `WebGPU runs in software here (${adapter}): everything works, but slowly, a few words a second at best.`,
    );
  }

  /** Stays until the next one; null: there is none. */
  notice(text: string | null): void {
    this.#notice.hidden = text === null;
    this.#notice.textContent = text;
    if (text !== null) this.announce(text);
  }

  /** A line with a button, until it is pressed or put off. The last one counts. */
  offer(text: string, label: string, run: () => void): void {
    const later = button('Later', 'quiet compact', () => (this.#offer.hidden = true));
    this.#offer.replaceChildren(h('span', {}, text), button(label, 'primary compact', run), later);
    this.#offer.hidden = false;
    this.announce(text);
  }

  /** Said once by screen readers. */
  announce(text: string): void {
    this.#live.textContent = text;
  }

  /** The same for a text that comes in sentences: each is read after the one before. @param sentence null: a new text begins */
  say(sentence: string | null): void {
    if (sentence === null) this.#live.replaceChildren();
    else this.#live.append(h('p', {}, sentence));
  }
}
