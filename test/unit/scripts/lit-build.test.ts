/** Published templates have fewer spaces, where no browser shows them, and nothing else is changed. */
import { parseAst } from 'vite';
import { expect, it } from 'vitest';
import { minifyTemplates } from '../../../scripts/lit-build.mjs';

const minified = (code: string): string => minifyTemplates(code, parseAst(code, { lang: 'ts' }));

it('a line break and its indentation become one space; spaces within a line, values and other texts stay', () => {
  const code = 'const a = html`<p\n    class="a  b">\n  ${`x\n  ${1 as number}`}\n</p>`, b = `c\n  d`;';
  expect(minified(code)).toBe('const a = html`<p class="a  b"> ${`x\n  ${1 as number}`} </p>`, b = `c\n  d`;');
});

it('templates in templates', () => {
  expect(minified('html`<ul>\n  ${[1].map((n) => html`<li>\n    ${n}</li>`)}\n</ul>`;')).toBe(
    'html`<ul> ${[1].map((n) => html`<li> ${n}</li>`)} </ul>`;',
  );
});

it('style sheets lose comments and spaces, and keep descendants apart from states', () => {
  const sheet =
    'css`\n  /* why */\n  p :hover,\n  p:hover > a {\n    margin: 0 1px;\n    width: calc(1px + 2px);\n  }\n`;';
  expect(minified(sheet)).toBe('css` p :hover,p:hover > a{margin:0 1px;width:calc(1px + 2px);}`;');
});
