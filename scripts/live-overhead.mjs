// What routing beside the chat costs while it is open: node scripts/live-overhead.mjs [ROUNDS] [TOKENS] asks the shipped model the same in one page,
// with the views closed and open in turn, and prints decode tokens/s of both and their ratio. A ratio of 1 is no cost.
import { chromium } from 'playwright-core';
import { createServer } from 'vite';
import { ensureChromium } from './setup.mjs';

const [rounds = 6, tokens = 32] = process.argv.slice(2).map(Number);
const WAIT = { timeout: 600_000 };
const ADAPTER = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

const server = await createServer({
  configFile: 'demo/vite.config.ts',
  root: 'demo',
  logLevel: 'error',
  server: { port: 0, hmr: false, watch: null },
});
await server.listen();
const browser = await chromium.launch({ executablePath: ensureChromium(), args: ['--no-sandbox', ...ADAPTER] });
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** @returns tokens/s as the page says them */
async function ask(page, isOpen) {
  await page.getByRole('button', { name: 'New chat', exact: true }).click();
  const toggle = page.getByRole('button', { name: 'Routing', exact: true });
  if ((await toggle.getAttribute('aria-expanded')) !== String(isOpen)) await toggle.click();
  await page.getByRole('button', { name: 'Settings of this conversation', exact: true }).click();
  await page.getByLabel('Temperature').fill('0');
  await page.getByLabel('Longest answer').fill(String(tokens));
  await page.keyboard.press('Escape');
  const box = page.getByRole('textbox', { name: 'Message' });
  await box.fill('Write a long story about the sea.');
  await box.press('Enter');
  await page.locator('.log[aria-busy=true]').waitFor(WAIT);
  await page.locator('.log[aria-busy=false]').waitFor(WAIT);
  const status = await page.locator('.status').last().innerText();
  return Number(/([\d.]+) tokens\/s/.exec(status)[1]);
}

try {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  page.on('pageerror', (error) => console.error(error.message));
  await page.goto(`http://127.0.0.1:${server.httpServer.address().port}/`);
  await page.getByRole('button', { name: 'Load the model', exact: true }).click(WAIT);
  await page.locator('.chat').waitFor(WAIT);
  await ask(page, false);
  await ask(page, true); // the views' code is there from here on
  const speeds = { closed: [], open: [] };
  for (let round = 0; round < rounds; round++) {
    // The order turns, so that a machine that slows down or speeds up costs both the same.
    for (const isOpen of round % 2 ? [true, false] : [false, true]) {
      speeds[isOpen ? 'open' : 'closed'].push(await ask(page, isOpen));
    }
  }
  const ratios = speeds.open.map((speed, i) => speed / speeds.closed[i]).toSorted((a, b) => a - b);
  console.log(`decode, ${tokens} tokens, ${rounds} rounds, SwiftShader`);
  for (const [name, of] of Object.entries(speeds))
    console.log(`${name}: median ${median(of)} tokens/s (${of.join(', ')})`);
  console.log(`open / closed: median ${median(ratios).toFixed(3)} (${ratios.map((r) => r.toFixed(2)).join(', ')})`);
} finally {
  await browser.close();
  await server.close();
}
