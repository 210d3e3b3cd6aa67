/** How a message's text is shown while it streams, and what a reader can do with it. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSite, type OpenedPage, type OpenOptions, type Site } from '../support/browser.ts';
import { RICH_TEXT } from '../support/rich-text.ts';

let site: Site;
beforeAll(async () => {
  site = await openSite('text.html');
});
afterAll(() => site.close());

const open = async (options: OpenOptions = {}): Promise<OpenedPage> => {
  const opened = await site.open('/text.html', options);
  await opened.page.waitForFunction(() => 'text' in window);
  return opened;
};

/** Shows a finished message. */
const show = (page: Page, source: string): Promise<void> =>
  page.evaluate((text) => {
    const body = new window.text.MessageBody();
    document.querySelector('main')!.replaceChildren(body.element);
    body.append(text);
    body.finish();
    body.flush();
  }, source);

const done = async ({ problems, close }: OpenedPage): Promise<void> => {
  expect(problems).toEqual([]);
  await close();
};

describe('a message while it streams', () => {
  it('keeps the nodes of earlier blocks, and renders at most once a frame', async () => {
    const opened = await open();
    const { kept, renderings, frames } = await opened.page.evaluate(
      async (source) => {
        const body = new window.text.MessageBody();
        document.querySelector('main')!.append(body.element);
        let renderings = 0;
        const observer = new MutationObserver(() => renderings++);
        observer.observe(body.element, { childList: true, subtree: true, characterData: true });
        const settled = new Map<number, Element>();
        let kept = true;
        let frames = 0;
        for (let at = 0; at < source.length; frames++) {
          // Several pieces a frame, each in a task of its own.
          for (let i = 0; i < 3; i++, at += 12) {
            body.append(source.slice(at, at + 12));
            await Promise.resolve();
          }
          const blocks = [...body.element.children];
          for (const [i, element] of settled) kept &&= blocks[i] === element;
          for (const [i, element] of blocks.slice(0, -2).entries()) settled.set(i, element);
          await new Promise(requestAnimationFrame);
        }
        observer.disconnect();
        return { kept: kept && settled.size >= 5, renderings, frames };
      },
      RICH_TEXT.slice(0, RICH_TEXT.indexOf('The weights')),
    );
    expect(kept).toBe(true);
    expect(renderings).toBeGreaterThan(5);
    expect(renderings).toBeLessThanOrEqual(frames * 2);
    await done(opened);
  });

  it('ends as if it had come at once, however it was cut', async () => {
    const opened = await open();
    const same = await opened.page.evaluate(
      (source) => {
        const shown = (pieces: readonly string[]): string => {
          const body = new window.text.MessageBody();
          for (const piece of pieces) {
            body.append(piece);
            body.flush();
          }
          body.finish();
          body.flush();
          return body.element.outerHTML;
        };
        const whole = shown([source]);
        const cuts = [1, 7, 50].map((size) => source.match(new RegExp(`[\\s\\S]{1,${size}}`, 'g')) ?? []);
        return [...cuts.map((pieces) => shown(pieces) === whole), shown([source.replaceAll('\n', '\r\n')]) === whole];
      },
      RICH_TEXT.replaceAll(/\$/g, ''),
    );
    expect(same).toEqual([true, true, true, true]);
    await done(opened);
  });

  it('shows half of bold as bold, half a fence as code, and a block of code in place', async () => {
    const opened = await open();
    const seen = await opened.page.evaluate(() => {
      const body = new window.text.MessageBody();
      const say = (text: string): string => {
        body.append(text);
        body.flush();
        return body.element.textContent ?? '';
      };
      const bold = [say('Some **bo'), body.element.querySelector('strong')?.textContent];
      say('ld**\n\n```js\nlet a');
      const pre = body.element.querySelector('pre');
      const code = [pre?.textContent, (say(' = 1;\n``'), pre?.textContent), (say('`\n\nEnd'), pre?.textContent)];
      return {
        bold,
        code,
        inPlace: pre === body.element.querySelector('pre'),
        end: body.element.lastElementChild?.textContent,
      };
    });
    expect(seen.bold).toEqual(['Some bo', 'bo']);
    expect(seen.code).toEqual(['let a', 'let a = 1;', 'let a = 1;']);
    expect(seen.inPlace).toBe(true);
    expect(seen.end).toBe('End');
    await done(opened);
  });

  it('resolves a link that is defined later', async () => {
    const opened = await open();
    await show(opened.page, 'See [the page][1].\n\nMore.\n\n[1]: https://example.org/late\n');
    expect(await opened.page.locator('a').getAttribute('href')).toBe('https://example.org/late');
    await done(opened);
  });

  it('leaves the page its time: up to a megabyte of any kind', async () => {
    const opened = await open();
    const kinds = {
      paragraphs: 'Some *words* of a [text](https://example.org).\n\n'.repeat(21_000),
      line: 'word '.repeat(200_000),
      code: '```js\n' + 'let a = 1;\n'.repeat(90_000) + '```',
      list: '- an item\n'.repeat(10_000),
      brackets: '[![*_`'.repeat(150_000),
      quotes: '>'.repeat(100_000),
    };
    for (const [kind, text] of Object.entries(kinds)) {
      const { call, gap, total } = await opened.page.evaluate(
        (source) => window.text.timeOf(source),
        `${text}\n\nThe end`,
      );
      const of = `the longest call ${call.toFixed(0)} ms, frame ${gap.toFixed(0)} ms, all of it ${total.toFixed(0)} ms`;
      console.log(`${kind}: ${text.length} characters, ${of}`);
      expect(call, kind).toBeLessThan(2000);
      expect(gap, kind).toBeLessThan(8000);
    }
    await done(opened);
  });
});

describe('a message with everything in it', () => {
  it('has its parts', async () => {
    const opened = await open();
    const { page } = opened;
    await show(page, RICH_TEXT);
    const count = (selector: string): Promise<number> => page.locator(`.markdown ${selector}`).count();
    await page.locator('math').nth(1).waitFor({ state: 'attached' });
    for (const [selector, n] of [
      ['h3', 1],
      ['h4', 1],
      ['h5', 1],
      ['strong', 1],
      ['del', 1],
      ['ol > li', 3],
      ['li li', 2],
      ['.task', 2],
      ['blockquote', 1],
      ['th', 4],
      ['td', 8],
      ['math', 2],
      ['.code-block', 2],
      ['hr', 1],
      ['.image-link', 1],
      ['.hidden-characters', 3],
      ['b', 0],
      ['h1, h2', 0],
    ] as const)
      expect(await count(selector), selector).toBe(n);
    const links = await page
      .locator('a')
      .evaluateAll((all) =>
        all.map((a) => [
          a.getAttribute('href'),
          a.getAttribute('rel'),
          a.getAttribute('target'),
          a.nextElementSibling?.className ?? '',
        ]),
      );
    const rel = 'noopener noreferrer nofollow';
    expect(links).toEqual([
      ['https://arxiv.org/abs/1701.06538', rel, '_blank', 'link-place'],
      ['https://example.org/a', rel, '_blank', ''],
      ['https://example.org/router.png', rel, '_blank', ''],
    ]);
    expect(await page.locator('.link-place').allTextContents()).toEqual(['arxiv.org', 'example.org']);
    expect(await page.locator('.markdown').textContent()).toContain('a price of $5.');
    expect(await page.locator('.as-written').textContent()).toContain('<div onclick="x()">');
    expect(await page.locator('.hidden-characters').first().getAttribute('data-label')).toBe('U+200B');
    await done(opened);
  });

  it('colours code once it is complete, and offers to copy, wrap and keep it', async () => {
    const opened = await open({ permissions: ['clipboard-read', 'clipboard-write'] });
    const { page } = opened;
    await show(page, RICH_TEXT);
    const block = page.locator('.code-block').first();
    await block.locator('.hl-keyword').first().waitFor();
    const code = await block.locator('code').textContent();
    expect(code).toMatch(/^def route[\s\S]*width$/);
    expect(await block.locator('.code-language').innerText()).toBe('Python');
    await block.getByRole('button', { name: 'Copy' }).click();
    await block.getByRole('button', { name: 'Copied' }).waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(code);
    await block.getByRole('button', { name: 'Wrap' }).click();
    expect(await block.locator('pre').evaluate((pre) => getComputedStyle(pre).whiteSpace)).toBe('pre-wrap');
    const download = page.waitForEvent('download');
    await block.getByRole('button', { name: 'Download' }).click();
    expect((await download).suggestedFilename()).toBe('code.py');
    await done(opened);
  });

  it('fits a phone: tables, code and formulas scroll by themselves', async () => {
    const opened = await open({ viewport: { width: 360, height: 740 } });
    await show(opened.page, RICH_TEXT);
    await opened.page.locator('math').nth(1).waitFor({ state: 'attached' });
    expect(await opened.page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
    const wider = (selector: string): Promise<boolean> =>
      opened.page
        .locator(selector)
        .first()
        .evaluate((e) => e.scrollWidth > e.clientWidth);
    expect(await wider('.table-frame')).toBe(true);
    expect(await wider('.code-block pre')).toBe(true);
    await done(opened);
  });

  it.each(['light', 'dark'] as const)('has no serious fault that axe finds, %s', async (colorScheme) => {
    const opened = await open({ colorScheme });
    const { page } = opened;
    await show(page, `${RICH_TEXT}\n[bad](/relative)`);
    await page.locator('.hl-keyword').first().waitFor();
    // By its source: the policy lets no foreign script into the page.
    await page.evaluate(readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8'));
    const found = await page.evaluate(async () => {
      const { axe } = window as unknown as {
        axe: { run(): Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }> };
      };
      const { violations } = await axe.run();
      return violations
        .filter(({ impact }) => impact === 'serious' || impact === 'critical')
        .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
    });
    expect(found).toEqual([]);
    await done(opened);
  });
});
