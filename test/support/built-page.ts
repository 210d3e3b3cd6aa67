/** The built page in a folder of its site, on a server that counts, with a tiny model beside it: for what happens between builds and without a network. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core';
import { build } from 'vite';
import { requestHandler } from '../../scripts/serve.mjs';
import { CHROMIUM, CHROMIUM_ARGS } from './browser.ts';
import { withLetters } from './letters.ts';
import { filesOf } from './models.ts';

export interface BuiltPage {
  /** The page, on that model. */
  readonly url: string;
  readonly browser: Browser;
  /** Paths that the server was asked for since `forget`. */
  readonly asked: readonly string[];
  /** Bytes of the model's files that it was asked for since then. */
  readonly modelBytes: number;
  forget(): void;
  /** From now on the server hands out another build, and no file of the first. */
  rebuild(): Promise<void>;
  /** No server is there any more. */
  stop(): Promise<void>;
  /** A context, and what went wrong in its pages. */
  context(options?: BrowserContextOptions): Promise<{ readonly context: BrowserContext; readonly problems: string[] }>;
  close(): Promise<void>;
}

/** @param banner stands in every script: another one makes another build; comments do not */
async function buildInto(outDir: string, banner: string): Promise<void> {
  await build({
    logLevel: 'warn',
    root: 'demo',
    configFile: 'demo/vite.config.ts',
    build: { outDir, emptyOutDir: true, rolldownOptions: { output: { banner } } },
  });
}

function writeModel(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const [name, bytes] of Object.entries(withLetters(filesOf('test/fixtures/families/olmoe'))))
    writeFileSync(join(folder, name), bytes);
}

/** @param shipped the model that comes with the page, instead of the tiny one */
export async function openBuiltPage({ shipped = false } = {}): Promise<BuiltPage> {
  const folder = mkdtempSync(join(tmpdir(), 'webmoe-built-'));
  const dist = join(folder, 'dist/some/where');
  const models = shipped ? 'models' : join(folder, 'models');
  await buildInto(dist, 'globalThis.build = 1;');
  const path = `/models/${shipped ? 'smolmoe-135m-instruct' : 'letters'}/`;
  if (!shipped) writeModel(join(models, 'letters'));
  const handler = requestHandler({ dist: join(folder, 'dist'), models });
  const asked: string[] = [];
  let modelBytes = 0;
  const server = createServer((request, response) => {
    const wanted = request.url ?? '';
    asked.push(wanted);
    response.once('finish', () => {
      const hasBody = request.method === 'GET' && response.statusCode < 300;
      if (hasBody && wanted.startsWith(path)) modelBytes += Number(response.getHeader('Content-Length'));
    });
    return handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const browser = await chromium.launch({ executablePath: CHROMIUM, headless: true, args: [...CHROMIUM_ARGS] });
  const stop = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return {
    url: `http://localhost:${port}/some/where/?model=${path}`,
    browser,
    asked,
    get modelBytes() {
      return modelBytes;
    },
    forget() {
      asked.length = 0;
      modelBytes = 0;
    },
    async rebuild() {
      const next = join(folder, 'next');
      await buildInto(next, 'globalThis.build = 2;');
      rmSync(dist, { recursive: true });
      cpSync(next, dist, { recursive: true });
    },
    stop,
    async context(options = {}) {
      const context = await browser.newContext(options);
      const problems: string[] = [];
      context.on('weberror', (error) => problems.push(error.error().message));
      context.on('console', (message) => {
        if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
          problems.push(message.text());
      });
      return { context, problems };
    },
    async close() {
      await browser.close();
      if (server.listening) await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Which build a page is of. */
export const buildOf = (page: Page): Promise<string | null> =>
  page.locator('meta[name=webmoe-shell]').getAttribute('content');
