/** Chat and routing side by side: which experts take each token, while the answer is written. Closed, it costs nothing: not even its code is there. */
import type { GeneratedToken, GenerateOptions } from '../../src/index.ts';
import { h, iconButton } from '../dom.ts';
import type { Answerer, AnswerEnd, ChatModel, Turn } from '../engine.ts';
import { messageOf } from '../message-of.ts';
import { recall, remember } from '../remember.ts';
import type { RoutingViews } from './views.ts';

export interface Split {
  readonly toggle: HTMLButtonElement;
  readonly element: HTMLElement;
  /** The model, with the routing of its answers followed while the views are open. */
  readonly model: Answerer;
  dispose(): void;
}

const KEY = 'webmoe-routing-open';

/** @returns null for a model that has no routing to show */
export function routingSplit(model: ChatModel, name: string): Split | null {
  const { config } = model;
  if (!config || !config.layers.some(({ ffn }) => 'experts' in ffn)) return null;
  const toggle = iconButton('Routing', 'grid', () => setOpen(Boolean(element.hidden)));
  const problem = h('p', { role: 'alert', hidden: true });
  const body = h('div', { class: 'routing-views' });
  const element = h(
    'aside',
    { class: 'routing-split', 'aria-label': 'Routing', hidden: true },
    h(
      'div',
      { class: 'routing-head' },
      h('h2', {}, 'Routing'),
      h('a', { href: './visualiser/' }, 'All views'),
      iconButton('Close', 'close', () => (setOpen(false), toggle.focus())),
    ),
    problem,
    body,
  );
  let views: Promise<RoutingViews> | null = null;
  const load = async (): Promise<RoutingViews> => {
    const { routingViews } = await import('./views.ts');
    const made = routingViews({ config, plan: model.plan }, name);
    body.replaceChildren(...made.elements);
    return made;
  };
  const setOpen = (isOpen: boolean): void => {
    element.hidden = !isOpen;
    toggle.setAttribute('aria-expanded', String(isOpen));
    remember(KEY, isOpen ? '1' : null);
    if (!isOpen) return;
    problem.hidden = true;
    views ??= load().catch((error: unknown) => {
      views = null;
      problem.hidden = false;
      problem.textContent = `The views did not load: ${messageOf(error)}`;
      throw error;
    });
    views.catch(() => undefined); // it was said
  };
  toggle.setAttribute('aria-expanded', 'false');
  if (recall(KEY) === '1') setOpen(true);

  const answerer: Answerer = {
    get plan() {
      return model.plan;
    },
    ...(model.samplingDefaults && { samplingDefaults: model.samplingDefaults }),
    ...(model.onStep && { onStep: model.onStep.bind(model) }),
    generate: (prompt, options) => follow(prompt, options),
  };
  async function* follow(
    prompt: readonly Turn[],
    options: GenerateOptions = {},
  ): AsyncGenerator<{ readonly text: string }, AnswerEnd, void> {
    const shown = element.hidden ? null : await views?.catch(() => null);
    if (!shown) return yield* model.generate(prompt, options);
    const run = shown.begin(prompt.at(-1)?.content ?? '');
    const stop = model.onStep?.((event) => run.step(event), 'ids');
    try {
      const answer = model.generate(prompt, { ...options, onPromptRouting: (chunk) => run.prompt(chunk) });
      for (;;) {
        const next = await answer.next();
        if (next.done) return next.value;
        run.token(next.value as GeneratedToken);
        yield next.value;
      }
    } finally {
      stop?.();
      run.end();
    }
  }
  return {
    toggle,
    element,
    model: answerer,
    dispose: () => void views?.then((made) => made.dispose()).catch(() => undefined),
  };
}
