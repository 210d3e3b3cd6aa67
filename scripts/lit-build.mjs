// For Rolldown: lit so that its files import where no DOM is, and templates without the spaces that only their source needs.

const SHIM = '@lit-labs/ssr-dom-shim';

/** lit's files for Node run in browsers too, but bring stand-ins for the DOM and set a global. To import them, a class to extend is enough. */
export const litWithoutDom = {
  name: 'lit-without-dom',
  resolveId: (id) => (id === SHIM ? `\0${SHIM}` : null),
  load: (id) =>
    id === `\0${SHIM}` ? 'export const HTMLElement = class {}; export const customElements = null;' : null,
  transform(code, id) {
    if (!id.endsWith('/reactive-element.js')) return null;
    const without = code.replace(/\b\w+\.customElements\?\?=\w+;/, '');
    if (without === code)
      throw new Error(`${id} sets customElements in another way: see what importing it does in Node`);
    return without;
  },
};

/** A browser shows a run of spaces as one. Runs within a line stay as they are: somebody wrote them. */
const markup = (text) => text.replace(/\s*\n\s*/g, ' ');
const styles = (text) =>
  text
    .replace(/\/\*[^]*?\*\//g, '')
    .replace(/\s+/g, ' ')
    .replace(/ ?([{};,]) ?/g, '$1')
    .replace(/: /g, ':');
const MINIFY = { html: markup, svg: markup, css: styles };

/** @yields the texts of templates below a node of a syntax tree, with what makes them shorter */
function* templates(node) {
  if (!node || typeof node !== 'object') return;
  if (node.type === 'TaggedTemplateExpression') {
    const minify = MINIFY[node.tag.name];
    if (minify) for (const { start, end } of node.quasi.quasis) yield { start, end, minify };
  }
  for (const child of Object.values(node)) yield* templates(child);
}

/** @param program the syntax tree of `code` */
export function minifyTemplates(code, program) {
  let text = '';
  let done = 0;
  for (const { start, end, minify } of [...templates(program)].sort((a, b) => a.start - b.start)) {
    text += code.slice(done, start) + minify(code.slice(start, end));
    done = end;
  }
  return text + code.slice(done);
}

export const minifiedTemplates = {
  name: 'minified-templates',
  transform(code, id) {
    if (!id.endsWith('.ts') || !id.includes('/src/viz/')) return null;
    return minifyTemplates(code, this.parse(code, { lang: 'ts' }));
  },
};
