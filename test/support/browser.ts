/** Chromium on its software adapter, the built page, and a server for both: what the browser tests share. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core';
import { build } from 'vite';
import { inject } from 'vitest';
import { serve } from '../../scripts/serve.mjs';

export const CHROMIUM = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';
export const CHROMIUM_ARGS: readonly string[] = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  // A name that is not localhost, so that a page can be insecure, and one that no resolver is asked for.
  '--host-resolver-rules=MAP insecure.test 127.0.0.1, MAP missing.test ~NOTFOUND',
];

const launch = (): Promise<Browser> =>
  chromium.launch({ executablePath: CHROMIUM, headless: true, args: [...CHROMIUM_ARGS] });

/**
 * The page built as `npm start` does or, with `pages`, the test pages in test/browser/pages: once a run, for all test files that want it.
 * @returns its folder
 */
async function builtSite(pages: readonly string[]): Promise<string> {
  const outDir = join(inject('builds'), ['site', ...pages].join('-'));
  if (!existsSync(outDir)) await buildSite(outDir, pages);
  return outDir;
}

async function buildSite(outDir: string, pages: readonly string[]): Promise<void> {
  const shared = { logLevel: 'warn' as const };
  if (pages.length === 0) {
    await build({ ...shared, root: 'demo', configFile: 'demo/vite.config.ts', build: { outDir, emptyOutDir: true } });
    return;
  }
  await build({
    ...shared,
    root: 'test/browser/pages',
    configFile: false,
    base: './',
    build: {
      outDir,
      emptyOutDir: true,
      target: 'es2022',
      modulePreload: { polyfill: false },
      rolldownOptions: { input: pages.map((page) => join('test/browser/pages', page)) },
    },
  });
}

export interface Site {
  readonly port: number;
  /** The folder of the built pages. */
  readonly dist: string;
  /** An address of the site, as in `at('/?autoload=1')`. */
  at(path: string, host?: string): string;
  readonly browser: Browser;
  /** A fresh page in a context of its own; `problems` collects uncaught errors, CSP breaches and console errors. */
  open(path: string, options?: OpenOptions): Promise<OpenedPage>;
  close(): Promise<void>;
}

export interface OpenOptions extends BrowserContextOptions {
  readonly host?: string;
  /** Another server that hands out the page. */
  readonly origin?: string;
  /** Runs before the page's own scripts. */
  readonly before?: (context: BrowserContext) => Promise<void>;
}

export interface OpenedPage {
  readonly page: Page;
  readonly problems: string[];
  close(): Promise<void>;
}

/** One browser and one server for a test file. */
export async function openSite(...pages: readonly string[]): Promise<Site> {
  const dist = await builtSite(pages);
  const served = await serve({ dist, port: 0, host: '127.0.0.1' });
  const browser = await launch();
  const at = (path: string, host = 'localhost'): string => `http://${host}:${served.port}${path}`;
  return {
    port: served.port,
    dist,
    at,
    browser,
    async open(path, { host, origin, before, ...options } = {}) {
      const context = await browser.newContext(options);
      await before?.(context);
      const page = await context.newPage();
      const problems: string[] = [];
      page.on('pageerror', (error) => problems.push(error.message));
      page.on('console', (message) => {
        // Looking for a file that a model does not have is no problem, but the browser notes it.
        if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
          problems.push(message.text());
      });
      await page.goto(origin === undefined ? at(path, host) : origin + path);
      return { page, problems, close: () => context.close() };
    },
    async close() {
      await browser.close();
      await served.close();
    },
  };
}
