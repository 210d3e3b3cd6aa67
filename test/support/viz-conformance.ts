/** What every view must do in a browser, as a table over views: draws, says chance and sample size, table equals CSV, files, link, keyboard, hostile text, axe. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import type { MoeElement } from '../../src/viz/index.ts';
import type { OpenedPage, Site } from './browser.ts';
import type { SyntheticSize } from './viz-traces.ts';
import type {} from '../browser/pages/viz.ts';

export interface ViewCase {
  readonly element: string;
  /** Of the trace with everything. */
  readonly size?: SyntheticSize;
  /** State as a link has it, different from the start, and what the element's `state` then holds of it. */
  readonly link: string;
  readonly state: Readonly<Record<string, string | number | boolean>>;
  /** In the summary. */
  readonly summary: RegExp;
  /** A trace on which the view has something to say instead of a figure, and what; null: it draws on all. */
  readonly lacks: { readonly trace: 'bare' | 'none'; readonly size?: SyntheticSize; readonly says: RegExp } | null;
  /** Arrow keys that lead to a readout; null: the figure has no cursor. */
  readonly keys?: readonly string[] | null;
  /** `false`: the figure is drawn in pixels. */
  readonly svg?: boolean;
}

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Shows the element alone on the page; resolves when it has drawn, or said what it lacks. */
export async function showView(
  page: Page,
  element: string,
  trace: 'synthetic' | 'bare' | 'none',
  { size = {}, link = '' }: { readonly size?: SyntheticSize; readonly link?: string } = {},
): Promise<void> {
  await page.evaluate(
    async ([name, kind, of, state]) => {
      document.querySelector('main')!.replaceChildren();
      const { bare, synthetic } = window.viz;
      await window.viz.show(name, kind === 'none' ? null : kind === 'bare' ? bare(of) : synthetic(of), state);
    },
    [element, trace, size, link] as const,
  );
  const shown = trace === 'synthetic' ? `${element} footer` : `${element} .body`;
  await page.locator(shown).waitFor();
}

/** Serious and critical ones. */
export async function axeProblems(page: Page): Promise<string[]> {
  if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(axeSource);
  return page.evaluate(async () => {
    const axe = (globalThis as unknown as { axe: { run(options: object): Promise<{ violations: AxeViolation[] }> } })
      .axe;
    interface AxeViolation {
      id: string;
      impact: string;
      nodes: { target: unknown[] }[];
    }
    const { violations } = await axe.run({ resultTypes: ['violations'] });
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, nodes }) => `${id}: ${nodes.map((node) => JSON.stringify(node.target)).join(' ')}`);
  });
}

async function download(page: Page, element: string, button: string): Promise<Buffer> {
  const [file] = await Promise.all([
    page.waitForEvent('download'),
    page.locator(`${element} footer`).getByRole('button', { name: button, exact: true }).click(),
  ]);
  return readFileSync(await file.path());
}

/** Title, chance level and sample size; the table's rows are those of the CSV; files are of their kind. */
async function checkFigure(page: Page, view: ViewCase): Promise<void> {
  const { element } = view;
  await showView(page, element, 'synthetic', { size: view.size ?? {} });
  expect(await page.locator(`${element} h3`).innerText()).toMatch(/\?$/);
  expect(await page.locator(`${element} .summary`).innerText()).toMatch(view.summary);
  expect(await page.locator(`${element} .figure`).count()).toBeGreaterThan(0);
  const csv = (await download(page, element, 'CSV')).toString('utf8');
  const png = await download(page, element, 'PNG');
  expect([...png.subarray(0, 4)]).toEqual([0x89, 0x50, 0x4e, 0x47]);
  expect(png.length).toBeGreaterThan(1000);
  if (view.svg !== false) {
    const svg = (await download(page, element, 'SVG')).toString('utf8');
    expect(svg).toMatch(/^<svg[^>]*xmlns/);
    // What the style sheet says, in the file itself.
    expect(svg).toMatch(/<text[^>]*font-size="11px"/);
  }
  await page.locator(`${element} footer`).getByRole('button', { name: 'Table' }).click();
  const cells = await page
    .locator(`${element} .body table`)
    .last()
    .evaluate((table) => [...table.querySelectorAll('tr')].map((row) => row.children.length));
  const lines = csvRows(csv);
  expect(lines.length).toBeGreaterThan(1);
  expect(cells.length).toBe(Math.min(lines.length, SHOWN_ROWS + 1));
  expect(new Set(cells)).toEqual(new Set([lines[0]!.length]));
}

/** As src/viz/table.ts has it. */
const SHOWN_ROWS = 300;

/** RFC 4180. */
function csvRows(text: string): string[][] {
  const rows: string[][] = [[]];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g)) {
    rows.at(-1)!.push(quoted?.replaceAll('""', '"') ?? plain!);
    if (end === '\r\n') rows.push([]);
  }
  return rows.slice(0, -1);
}

/** The link holds the state, and brings it back. */
async function checkLink(page: Page, { element, link, state, size = {} }: ViewCase): Promise<void> {
  await showView(page, element, 'synthetic', { size, link: `${link}&layer=1` });
  const read = (): Promise<{ state: Record<string, unknown>; link: string; layer: number }> =>
    page.locator(element).evaluate((view: MoeElement) => ({
      state: { ...view.state },
      link: view.link,
      layer: view.brush.selection.layer,
    }));
  const first = await read();
  expect(first.state).toMatchObject(state);
  expect(first.layer).toBe(1);
  await showView(page, element, 'synthetic', { size, link: first.link });
  expect(await read()).toEqual(first);
}

/** The figure takes the focus; keys move its cursor, and what is there is said. */
async function checkKeyboard(
  page: Page,
  { element, keys = ['ArrowRight', 'ArrowRight'], size = {} }: ViewCase,
): Promise<void> {
  if (!keys) return;
  await showView(page, element, 'synthetic', { size });
  await page.locator(`${element} .body [tabindex="0"]`).first().focus();
  const said: string[] = [];
  for (const key of keys) {
    await page.keyboard.press(key);
    await page.waitForFunction(
      ([name, before]) => {
        const line = document.querySelector(name!)!.shadowRoot!.querySelector('output')!.textContent;
        return line !== '' && line !== before;
      },
      [element, said.at(-1) ?? ''] as const,
    );
    said.push((await page.locator(`${element} output`).textContent())!);
  }
  expect(new Set(said).size).toBe(keys.length);
}

/** Names and texts of a stranger's trace make no elements, in the figure and in the table. */
async function checkHostile(page: Page, { element, size = {} }: ViewCase): Promise<void> {
  await showView(page, element, 'synthetic', { size });
  await page.locator(`${element} footer`).getByRole('button', { name: 'Table' }).click();
  const found = await page.evaluate(
    ([name]) => ({
      images: document.querySelector(name!)!.shadowRoot!.querySelectorAll('img').length,
      hacked: 'hacked' in window,
    }),
    [element] as const,
  );
  expect(found).toEqual({ images: 0, hacked: false });
}

async function checkLack(page: Page, { element, lacks }: ViewCase): Promise<void> {
  if (!lacks) return;
  await showView(page, element, lacks.trace, { size: lacks.size ?? {} });
  expect(await page.locator(`${element} .empty`).innerText()).toMatch(lacks.says);
}

/** In both themes. */
async function checkAccess(page: Page, { element, size = {} }: ViewCase): Promise<void> {
  for (const theme of ['light', 'dark']) {
    await page.evaluate((name) => (document.documentElement.dataset.theme = name), theme);
    await showView(page, element, 'synthetic', { size });
    expect(await axeProblems(page), `${element}, ${theme}`).toEqual([]);
  }
}

export async function openViews(site: Site): Promise<OpenedPage> {
  const opened = await site.open('/viz.html', { viewport: { width: 900, height: 900 } });
  await opened.page.waitForFunction(() => 'viz' in window);
  return opened;
}

/** The whole table: each view, all that every view must do. @param page asked for when a test runs */
export function describeViews(cases: readonly ViewCase[], page: () => Page): void {
  describe.each(cases)('$element', (view) => {
    it('draws, says n and chance, and gives its numbers as table and files', () => checkFigure(page(), view));
    it('comes back from its link', () => checkLink(page(), view));
    it('is read with the keyboard', () => checkKeyboard(page(), view));
    it('keeps a stranger’s text as text', () => checkHostile(page(), view));
    it('says what a trace lacks', () => checkLack(page(), view));
    it('has no serious fault of access in either theme', () => checkAccess(page(), view));
  });
}
