// node scripts/icons.mjs: the page's icon in pixels, for home screens that take no SVG, from demo/offline/icon-maskable.svg.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { ensureChromium, root } from './setup.mjs';

const folder = join(root, 'demo/offline');
const svg = readFileSync(join(folder, 'icon-maskable.svg'), 'utf8');
const browser = await chromium.launch({ executablePath: ensureChromium(), args: ['--no-sandbox'] });
const page = await browser.newPage();
for (const size of [180, 192, 512]) {
  await page.setViewportSize({ width: size, height: size });
  await page.setContent(`<style>body{margin:0}svg{display:block;width:${size}px;height:${size}px}</style>${svg}`);
  const path = join(folder, `icon-${size}.png`);
  await page.screenshot({ path });
  console.log(`icon-${size}.png: ${statSync(path).size} bytes`);
}
await browser.close();
