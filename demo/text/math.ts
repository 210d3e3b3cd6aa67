/** A formula: its source at once, its typeset form as soon as the typesetter is there. */
import { h } from '../dom.ts';
import type { MathToken } from './math-syntax.ts';
import { appendText } from './plain.ts';

type Typesetter = typeof import('./typeset.ts');

/** After the first formula, no message waits for it again. */
let typesetter: Typesetter | null = null;

/** A formula that cannot be typeset stays as written; so do all where the typesetter cannot be fetched. */
function typeset(element: HTMLElement, { text, display }: MathToken, with_: Typesetter): void {
  const math = with_.mathElement(text, display);
  if (math) element.replaceChildren(math);
}

export function mathNode(token: MathToken): HTMLElement {
  const element = h(
    'span',
    token.display ? { class: 'math display', tabindex: 0, role: 'group', 'aria-label': 'Formula' } : { class: 'math' },
  );
  appendText(element, token.raw.trim());
  if (typesetter) typeset(element, token, typesetter);
  else void load().then((loaded) => loaded && typeset(element, token, loaded));
  return element;
}

const load = (): Promise<Typesetter | null> =>
  import('./typeset.ts').then(
    (loaded) => (typesetter = loaded),
    () => null,
  );
