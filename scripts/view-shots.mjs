// Pictures of views for looking at: node scripts/view-shots.mjs OUT moe-heatmap [moe-... | trace=NAME | #state]... writes OUT/NAME-THEME-WIDTH.png.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createServer } from 'vite';
import { chromium } from 'playwright-core';
import { ensureChromium } from './setup.mjs';

const [out, ...args] = process.argv.slice(2);
const views = args.filter((arg) => arg.startsWith('moe-'));
const trace = args.find((arg) => arg.startsWith('trace=')) ?? 'trace=smolmoe';
const state = args.find((arg) => arg.startsWith('#')) ?? '';
if (!out || views.length === 0) throw new Error('node scripts/view-shots.mjs OUT moe-VIEW... [trace=NAME] [#state]');
mkdirSync(out, { recursive: true });

const server = await createServer({ root: '.', configFile: false, logLevel: 'error', server: { port: 0 } });
await server.listen();
const browser = await chromium.launch({ executablePath: ensureChromium(), args: ['--no-sandbox'] });
try {
  for (const theme of ['light', 'dark'])
    for (const width of [360, 768, 1440]) {
      const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme: theme });
      page.on('pageerror', (error) => console.error(error.message));
      for (const view of views) {
        const address = `http://localhost:${server.config.server.port || server.httpServer.address().port}/test/browser/pages/viz.html`;
        await page.goto(`${address}?${view}&${trace}&theme=${theme}${state}`);
        await page.locator(`${view} :is(footer, .empty)`).first().waitFor({ timeout: 120_000 });
        await page.screenshot({ path: join(out, `${view.slice(4)}-${theme}-${width}.png`), fullPage: true });
      }
      await page.close();
    }
} finally {
  await browser.close();
  await server.close();
}
