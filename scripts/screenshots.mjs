// Pictures of every state of the page, on a scripted model, in both themes at three widths:
// node scripts/screenshots.mjs OUT [state…] (THEMES, WIDTHS, CHROMIUM_PATH).
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { build, runnerImport } from 'vite';
import { serve } from './serve.mjs';
import { ensureChromium, root } from './setup.mjs';
import { Scene } from './screenshots/scene.mjs';
import { STATES } from './screenshots/states.mjs';

const VIEWPORTS = {
  360: { viewport: { width: 360, height: 780 }, isMobile: true, hasTouch: true },
  768: { viewport: { width: 768, height: 1024 } },
  1440: { viewport: { width: 1440, height: 900 } },
};
/** Sheets of so many pictures each, to look at. */
const A_SHEET = { 360: 8, 768: 6, 1440: 6 };

async function buildPage(outDir) {
  const pages = join(root, 'test/browser/pages');
  await build({
    root: pages,
    configFile: false,
    base: './',
    logLevel: 'error',
    build: { outDir, emptyOutDir: true, target: 'es2022', rolldownOptions: { input: join(pages, 'fake.html') } },
  });
}

/** A view scrolls inside the page: let it grow, so that a picture has all of it. */
const grow = (page) => page.locator('#app').evaluate((app) => app.classList.add('whole'));
const GROWN = '#app.whole { height: auto; } #app.whole main { overflow: visible; }';

async function picture(browser, site, text, { name, width, theme }, path) {
  const { query = '', whole = false, run } = STATES[name];
  const context = await browser.newContext({
    ...VIEWPORTS[width],
    colorScheme: theme,
    reducedMotion: 'reduce',
    bypassCSP: true,
  });
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
    await page.goto(`${site}/fake.html${query}`);
    await page.locator('#app[data-view]:not([data-view=checking])').waitFor();
    await run?.(new Scene(page, theme), text);
    await page.waitForTimeout(150);
    if (whole) {
      await page.addStyleTag({ content: GROWN });
      await grow(page);
    }
    await page.screenshot({ path, fullPage: whole });
    const sideways = await page.evaluate(() => globalThis.document.documentElement.scrollWidth - globalThis.innerWidth);
    return sideways > 0 ? `scrolls ${sideways} pixels sideways` : null;
  } finally {
    await context.close();
  }
}

/** Several pictures on one, with their names. */
async function sheet(browser, names, width, folder, path) {
  const shown = { 360: 360, 768: 500, 1440: 640 }[width];
  const cells = names.map(
    (name) => `<figure><figcaption>${name}</figcaption><img src="${name}.png" width="${shown}"></figure>`,
  );
  const style = `body{margin:8px;font:14px sans-serif;background:#888;display:flex;flex-wrap:wrap;gap:8px}figure{margin:0}img{display:block;max-height:1100px;object-fit:cover;object-position:top}`;
  const html = join(folder, 'sheet.html');
  writeFileSync(html, `<!doctype html><style>${style}</style>${cells.join('')}`);
  const page = await browser.newPage({
    viewport: { width: (shown + 8) * (width === '360' ? 4 : 3) + 16, height: 400 },
  });
  await page.goto(`file://${html}`);
  await page.screenshot({ path, fullPage: true });
  await page.close();
  rmSync(html);
}

const list = (value, all) => (value ? value.split(',') : all);

async function main([out, ...only]) {
  if (!out) throw new Error('Say where to: node scripts/screenshots.mjs OUT [state…]');
  const names = only.length > 0 ? only : Object.keys(STATES);
  for (const name of names) if (!STATES[name]) throw new Error(`There is no state "${name}": ${Object.keys(STATES)}`);
  const dist = mkdtempSync(join(tmpdir(), 'webmoe-pictures-'));
  await buildPage(dist);
  const { module } = await runnerImport(join(root, 'test/support/rich-text.ts'), { logLevel: 'error' });
  const served = await serve({ dist, port: 0, host: '127.0.0.1' });
  const browser = await chromium.launch({ executablePath: ensureChromium(), args: ['--no-sandbox'] });
  let failed = 0;
  for (const theme of list(process.env.THEMES, ['light', 'dark']))
    for (const width of list(process.env.WIDTHS, Object.keys(VIEWPORTS))) {
      const folder = join(out, `${theme}-${width}`);
      mkdirSync(folder, { recursive: true });
      const taken = [];
      for (const name of names) {
        const path = join(folder, `${name}.png`);
        const state = { name, width, theme };
        const fault = await picture(browser, `http://localhost:${served.port}`, { rich: module.RICH_TEXT }, state, path)
          .then((said) => (taken.push(name), said))
          .catch((error) => String(error.message).split('\n')[0]);
        if (fault) console.log(`${name}, ${theme}, ${width}: ${fault}`);
        failed += Number(fault !== null);
      }
      for (let at = 0; at < taken.length; at += A_SHEET[width])
        await sheet(
          browser,
          taken.slice(at, at + A_SHEET[width]),
          width,
          folder,
          join(out, `sheet-${theme}-${width}-${String(at / A_SHEET[width] + 1).padStart(2, '0')}.png`),
        );
      console.log(`${theme}, ${width}: ${taken.length} of ${names.length} states`);
    }
  await browser.close();
  await served.close();
  rmSync(dist, { recursive: true });
  process.exitCode = failed > 0 ? 1 : 0;
}

await main(process.argv.slice(2));
