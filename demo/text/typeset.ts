/** TeX to MathML. Loaded when a message holds a formula. */
import katex from 'katex';

const MATHML = 'http://www.w3.org/1998/Math/MathML';

/** What may stand in a formula: presentation only, nothing that links, loads or acts. */
const ELEMENTS = new Set(
  `math mrow mi mn mo ms mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover mmultiscripts mprescripts none mtable mtr mtd
  menclose mpadded mphantom mstyle`.split(/\s+/),
);
const ATTRIBUTES = new Set(
  `display mathvariant stretchy fence separator form lspace rspace accent accentunder linethickness columnalign rowspacing columnspacing columnlines
  rowlines width height depth voffset minsize maxsize notation displaystyle scriptlevel symmetric largeop movablelimits mathcolor mathbackground`.split(
    /\s+/,
  ),
);

/** A copy with what the lists allow; of an unknown element, its children. */
function copyAllowed(from: Node, to: Node): void {
  for (const child of from.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) to.appendChild(document.createTextNode(child.textContent ?? ''));
    else if (child instanceof Element && child.localName !== 'annotation') copyElement(child, to);
  }
}

function copyElement(from: Element, to: Node): void {
  if (from.namespaceURI !== MATHML || !ELEMENTS.has(from.localName)) return copyAllowed(from, to);
  const copy = document.createElementNS(MATHML, from.localName);
  for (const { name, value } of from.attributes) if (ATTRIBUTES.has(name)) copy.setAttribute(name, value);
  copyAllowed(from, copy);
  to.appendChild(copy);
}

/** null where `tex` is no formula. Macros expand at most 200 times; commands that link or load are refused. */
export function mathElement(tex: string, isDisplay: boolean): DocumentFragment | null {
  const made = document.createElement('span');
  try {
    katex.render(tex, made, {
      displayMode: isDisplay,
      output: 'mathml',
      throwOnError: true,
      trust: false,
      strict: 'ignore',
      maxExpand: 200,
      maxSize: 20,
    });
  } catch (error) {
    if (error instanceof katex.ParseError || error instanceof RangeError) return null;
    throw error;
  }
  const fragment = document.createDocumentFragment();
  copyAllowed(made, fragment);
  return fragment;
}
