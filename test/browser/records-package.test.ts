/** The I/O worker as users of the package get it: built by tsdown, alone and through a bundler, under a strict Content-Security-Policy. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { build as tsdown, type InlineConfig } from 'tsdown';
import { build as vite, createServer } from 'vite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { serve } from '../../scripts/serve.mjs';
import config from '../../tsdown.config.ts';
import { openSite, type Site } from '../support/browser.ts';

const folder = mkdtempSync(join(tmpdir(), 'webmoe-package-'));
const built = join(folder, 'package');

let site: Site;
beforeAll(async () => {
  site = await openSite('records.html');
  const [library, worker] = config as InlineConfig[];
  const changed = { outDir: built, dts: false, logLevel: 'silent', config: false } as const;
  await tsdown({ ...library, ...changed, entry: { records: 'test/browser/pages/records.ts' } });
  await tsdown({ ...worker, ...changed });
  const page = readFileSync('test/browser/pages/records.html', 'utf8');
  writeFileSync(join(built, 'index.html'), page.replace('./records.ts', './records.js'));
});
afterAll(async () => {
  await site.close();
  rmSync(folder, { recursive: true, force: true });
});

const tier = (page: Page): Promise<string | undefined> =>
  page.evaluate(async () => {
    const { folder } = await window.records.openBrowserFolder();
    await folder?.close();
    return folder?.kind;
  });

async function tierAt(url: string): Promise<string | undefined> {
  const page = await site.browser.newPage();
  await page.goto(url);
  await page.waitForFunction(() => 'records' in window);
  const found = await tier(page);
  await page.close();
  return found;
}

async function tierOf(dist: string): Promise<string | undefined> {
  const served = await serve({ dist, port: 0, host: '127.0.0.1' });
  try {
    return await tierAt(`http://localhost:${served.port}/index.html`);
  } finally {
    await served.close();
  }
}

it('the worker is one file that imports nothing', () => {
  const code = readFileSync(join(built, 'opfs-worker.js'), 'utf8');
  expect(code).not.toMatch(/^\s*(import|export)\b|\bimport\s*\(|import\.meta|\beval\b|new Function/m);
  expect(readFileSync(join(built, 'records.js'), 'utf8')).toContain('new Worker(new URL("./opfs-worker.js"');
});

it('starts from the built package', async () => {
  expect(await tierOf(built)).toBe('opfs');
});

it('starts from the built package in a Vite build', async () => {
  const outDir = join(folder, 'site');
  mkdirSync(outDir);
  await vite({
    root: built,
    configFile: false,
    logLevel: 'silent',
    base: './',
    build: { outDir, emptyOutDir: true, modulePreload: { polyfill: false } },
  });
  expect(readdirSync(join(outDir, 'assets')).some((name) => /^opfs-worker.*\.js$/.test(name))).toBe(true);
  expect(await tierOf(outDir)).toBe('opfs');
});

it('starts from source in Vite’s development server', async () => {
  const server = await createServer({
    root: 'test/browser/pages',
    configFile: false,
    logLevel: 'silent',
    cacheDir: join(folder, 'vite'),
    server: { host: '127.0.0.1', port: 0, fs: { allow: ['../../..'] } },
  });
  await server.listen();
  try {
    const address = server.httpServer!.address() as { readonly port: number };
    expect(await tierAt(`http://127.0.0.1:${address.port}/records.html`)).toBe('opfs');
  } finally {
    await server.close();
  }
});

it('without its file, the page falls back', async () => {
  rmSync(join(built, 'opfs-worker.js'));
  expect(await tierOf(built)).toBe('opfs-async');
});
