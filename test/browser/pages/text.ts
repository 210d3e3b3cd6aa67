/** Renders messages under the page's own policy, and looks for anything in them that could act. */
import { parse } from 'marked';
import { MessageBody } from '../../../demo/text/message-body.ts';

const FORBIDDEN =
  'script, iframe, frame, object, embed, applet, link, meta, form, input, textarea, select, base, style, template, img, image, video, audio, source, picture, portal, svg, use, foreignObject, animate, set, area, map';
/** The only things that have an address. */
const ADDRESSES = [
  'href',
  'xlink:href',
  'src',
  'srcset',
  'action',
  'formaction',
  'ping',
  'poster',
  'background',
  'data',
  'srcdoc',
];

function faultOf(element: Element): string | null {
  if (element.matches(FORBIDDEN)) return `element ${element.localName}`;
  for (const { name, value } of element.attributes) {
    if (/^on/i.test(name)) return `attribute ${name}`;
    if (name === 'style') return 'attribute style';
    if (!ADDRESSES.includes(name)) continue;
    if (element.localName !== 'a' || name !== 'href') return `attribute ${name} of ${element.localName}`;
    if (!/^(https?:\/\/[^@/]+(\/|$)|mailto:)/.test(value)) return `address ${value}`;
    const rel = element.getAttribute('rel') ?? '';
    if (!/noopener/.test(rel) || !/noreferrer/.test(rel)) return 'a link that tells where it came from';
  }
  return null;
}

/** What could act in `root`; empty where all is text. */
const faultsIn = (root: Element): string[] => [...root.querySelectorAll('*')].flatMap((e) => faultOf(e) ?? []);

type Body = Pick<MessageBody, 'element' | 'text' | 'append' | 'flush' | 'finish'>;

/** How not to do it. Works only where the policy is switched off. */
class UnsafeBody implements Body {
  readonly element = document.createElement('div');
  text = '';

  append(text: string): void {
    this.text += text;
  }

  flush(): void {
    this.element.innerHTML = parse(this.text, { async: false });
  }

  finish(): void {
    this.flush();
  }
}

interface Result {
  /** One for every prefix of every payload, and one for its final form. */
  renderings: number;
  faults: string[];
}

function stream(body: Body, pieces: Iterable<string>, result: Result): Body {
  const look = (when: string): void => {
    result.renderings++;
    result.faults.push(...faultsIn(body.element).map((fault) => `${fault}, ${when}: ${body.text}`));
  };
  document.querySelector('main')!.append(body.element);
  for (const piece of pieces) {
    body.append(piece);
    body.flush();
    look('after');
  }
  body.finish();
  body.flush();
  look('at the end of');
  return body;
}

/** What is fetched late (formulas, colours) comes within this time, in milliseconds. */
const SETTLE = 500;

/** Streams every payload, letter by letter, and looks after each. */
async function attack(payloads: readonly string[], isUnsafe = false): Promise<Result> {
  const result: Result = { renderings: 0, faults: [] };
  const bodies = payloads.map((payload) =>
    isUnsafe ? stream(new UnsafeBody(), [payload], result) : stream(new MessageBody(), payload, result),
  );
  await new Promise((resolve) => setTimeout(resolve, SETTLE));
  for (const { element, text } of bodies) {
    result.faults.push(...faultsIn(element).map((fault) => `${fault}, later: ${text}`));
    element.remove();
  }
  return result;
}

/** Milliseconds: the longest that a call took, the longest between two frames, and until all was shown. `source` ends with "The end". */
async function timeOf(source: string): Promise<{ call: number; gap: number; total: number }> {
  const body = new MessageBody();
  document.querySelector('main')!.replaceChildren(body.element);
  const start = performance.now();
  let [call, gap, last] = [0, 0, start];
  for (const run of [() => body.append(source), () => body.finish()]) {
    const before = performance.now();
    run();
    call = Math.max(call, performance.now() - before);
  }
  do {
    await new Promise(requestAnimationFrame);
    gap = Math.max(gap, performance.now() - last);
    last = performance.now();
  } while (!body.element.lastElementChild?.textContent?.endsWith('The end'));
  await new Promise(requestAnimationFrame);
  gap = Math.max(gap, performance.now() - last);
  return { call, gap, total: performance.now() - start };
}

const tools = { MessageBody, attack, timeOf, ran: 0 };

declare global {
  interface Window {
    readonly text: typeof tools;
    /** What payloads call. */
    probe(): void;
  }
}

Object.assign(window, { text: tools, probe: () => tools.ran++ });
