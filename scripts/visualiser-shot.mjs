// The picture of the routing page in the documentation: node scripts/visualiser-shot.mjs writes docs/visualiser.png.
import { chromium } from 'playwright-core';
import { createServer } from 'vite';
import { ensureChromium } from './setup.mjs';

const server = await createServer({
  configFile: 'demo/vite.config.ts',
  root: 'demo',
  logLevel: 'error',
  server: { port: 0 },
});
await server.listen();
const browser = await chromium.launch({ executablePath: ensureChromium(), args: ['--no-sandbox'] });
try {
  const page = await browser.newPage({ viewport: { width: 1200, height: 900 }, colorScheme: 'light' });
  page.on('pageerror', (error) => console.error(error.message));
  await page.addInitScript(() => globalThis.localStorage.setItem('webmoe-tour-seen', '"yes"'));
  await page.goto(`http://127.0.0.1:${server.httpServer.address().port}/visualiser/#group=load`);
  await page.locator('moe-heatmap footer').waitFor({ timeout: 120_000 });
  await page.locator('moe-load footer').waitFor({ timeout: 120_000 });
  await page.screenshot({ path: 'docs/visualiser.png' });
} finally {
  await browser.close();
  await server.close();
}
