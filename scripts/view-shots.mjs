// Pictures of views for looking at: node scripts/view-shots.mjs OUT moe-heatmap [moe-... | trace=NAME | #state]... writes OUT/NAME-THEME-WIDTH.png
// (THEMES, WIDTHS). `all` stands for every view.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createServer } from 'vite';
import { chromium } from 'playwright-core';
import { ensureChromium } from './setup.mjs';

const [out, ...args] = process.argv.slice(2);
const every = () =>
  [...readFileSync('src/viz/index.ts', 'utf8').matchAll(/defineView\('([\w-]+)'/g)].map(([, name]) => name);
const views = args.includes('all') ? every() : args.filter((arg) => arg.startsWith('moe-'));
const trace = args.find((arg) => arg.startsWith('trace=')) ?? 'trace=smolmoe';
const state = args.find((arg) => arg.startsWith('#')) ?? '';
if (!out || views.length === 0) throw new Error('node scripts/view-shots.mjs OUT moe-VIEW... [trace=NAME] [#state]');
mkdirSync(out, { recursive: true });
const list = (value, all) => (value ? value.split(',') : all);

const server = await createServer({
  root: '.',
  configFile: false,
  logLevel: 'error',
  optimizeDeps: { entries: ['test/browser/pages/viz.html'] },
  server: { port: 0, hmr: false, watch: null },
});
await server.listen();
const browser = await chromium.launch({ executablePath: ensureChromium(), args: ['--no-sandbox'] });
try {
  for (const theme of list(process.env.THEMES, ['light', 'dark']))
    for (const width of list(process.env.WIDTHS, ['390', '768', '1280'])) {
      const page = await browser.newPage({ viewport: { width: Number(width), height: 900 }, colorScheme: theme });
      page.setDefaultTimeout(120_000);
      page.on('pageerror', (error) => console.error(error.message));
      for (const view of views) {
        const address = `http://localhost:${server.config.server.port || server.httpServer.address().port}/test/browser/pages/viz.html`;
        await page.goto(`${address}?${view}&${trace}&theme=${theme}${state}`);
        await page
          .locator(`${view} footer, ${view} .empty:not(:text-matches('Loading…|Computing…|No trace yet'))`)
          .first()
          .waitFor();
        const sideways = await page.evaluate(
          () => globalThis.document.documentElement.scrollWidth - globalThis.innerWidth,
        );
        if (sideways > 0) console.log(`${view}, ${theme}, ${width}: scrolls ${sideways} pixels sideways`);
        await page.screenshot({ path: join(out, `${view.slice(4)}-${theme}-${width}.png`), fullPage: true });
      }
      await page.close();
    }
} finally {
  await browser.close();
  await server.close();
}
