/** The packed package in the toolchains of its users: each loads a tiny model and generates what transformers did. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MoeElement } from '../../src/viz/index.ts';
import { CHROMIUM, CHROMIUM_ARGS } from '../support/browser.ts';
import {
  command,
  copyExample,
  embeddedExample,
  esbuildBuild,
  host,
  installPackage,
  MODEL,
  nextBuild,
  nextExample,
  pageExample,
  talkingModel,
  viteBuild,
  viteDev,
  viteExample,
  webpackBuild,
  withoutBundler,
} from '../support/consumers.ts';
import { Golden } from '../support/golden.ts';

const golden = new Golden(`${MODEL}/golden.safetensors`);
const prompt = golden.ids('prompt_ids').join();
const greedy = golden.ids('greedy_ids').slice(0, 8).join();

let browser: Browser;
beforeAll(async () => {
  await installPackage();
  browser = await chromium.launch({ executablePath: CHROMIUM, headless: true, args: [...CHROMIUM_ARGS] });
});
afterAll(() => browser.close());

interface Outcome {
  readonly result?: string;
  readonly runsIn?: string;
  readonly failure?: string;
}

async function visit(port: number): Promise<Outcome> {
  const context = await browser.newContext();
  const page = await context.newPage();
  try {
    await page.goto(`http://127.0.0.1:${port}/?model=/model/&prompt=${prompt}`);
    // The page may be empty, and so not visible.
    await page.waitForSelector('[data-result], [data-failure]', { state: 'attached', timeout: 120_000 });
    return await page.evaluate(() => ({ ...document.body.dataset }));
  } finally {
    await context.close();
  }
}

async function visitFolder(folder: string, headers?: Record<string, string>): Promise<Outcome> {
  const hosted = await host(folder, headers);
  try {
    return await visit(hosted.port);
  } finally {
    hosted.close();
  }
}

const inWorker = { result: greedy, runsIn: 'worker' };
const inInlineWorker = { result: greedy, runsIn: 'inline-worker' };

it('no bundler, with an import map', async () => {
  const folder = withoutBundler('import-map', '/node_modules');
  expect(await visitFolder(folder)).toEqual(inWorker);
});

it('ES modules of another origin', async () => {
  const packages = await host('test/consumers/node_modules', { 'Access-Control-Allow-Origin': '*' });
  try {
    expect(await visitFolder(withoutBundler('cross-origin', `http://localhost:${packages.port}`))).toEqual(
      inInlineWorker,
    );
  } finally {
    packages.close();
  }
});

it.each(['vite', 'vite7'] as const)('%s, built', async (vite) => {
  expect(await visitFolder(await viteBuild(vite))).toEqual(inWorker);
});

it.each([
  ['vite', inWorker],
  ['vite7', inInlineWorker],
] as const)('%s, its dev server', async (vite, expected) => {
  const server = await viteDev(vite);
  try {
    expect(await visit(server.port)).toEqual(expected);
  } finally {
    server.close();
  }
});

it('webpack', async () => {
  expect(await visitFolder(await webpackBuild())).toEqual(inWorker);
});

it('esbuild', async () => {
  expect(await visitFolder(await esbuildBuild())).toEqual(inInlineWorker);
});

it('Next, in a client component', async () => {
  expect(await visitFolder(await nextBuild())).toEqual(inWorker);
});

it("a Content-Security-Policy with worker-src 'self'", async () => {
  const policy = "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; img-src data:";
  expect(await visitFolder(await viteBuild('vite'), { 'Content-Security-Policy': policy })).toEqual(inWorker);
});

it('Node', async () => {
  const code = `import { load } from 'webmoe/node';
    const model = await load(${JSON.stringify(MODEL)}, { contextLength: 64 });
    const ids = [];
    for await (const { id } of model.generate({ ids: [${prompt}] }, { temperature: 0, maxTokens: 8, ignoreEnd: true })) ids.push(id);
    await model.dispose();
    console.log(ids.join());
    process.exit(0);`;
  const printed = await command(process.execPath, ['--input-type=module', '-e', code]);
  expect(printed.trim().split('\n').at(-1)).toBe(greedy);
});

/** Asks the page of an example. @returns its answer */
async function ask(folder: string): Promise<string> {
  const hosted = await host(folder, {}, talkingModel());
  const context = await browser.newContext();
  const page = await context.newPage();
  try {
    await page.goto(`http://127.0.0.1:${hosted.port}/?model=/model/`);
    await page.getByRole('textbox', { name: 'Question' }).fill('Who answers?');
    await page.getByRole('button', { name: 'Ask' }).click();
    const answer = page.locator('#answer');
    // Of 256 bytes, so that it is noise; what it tells while it loads is shorter.
    await expect.poll(() => answer.textContent(), { timeout: 120_000 }).toMatch(/^[^]{40,}$/);
    return (await answer.textContent()) ?? '';
  } finally {
    await context.close();
    hosted.close();
  }
}

/** @returns what the page asked for, and what it had to say to developers: errors, and what its policy forbade */
async function withEmbedded(
  use: (page: Page) => Promise<void>,
): Promise<{ readonly paths: readonly string[]; readonly complaints: readonly string[] }> {
  const hosted = await host(embeddedExample());
  const context = await browser.newContext();
  const page = await context.newPage();
  const [paths, complaints]: [string[], string[]] = [[], []];
  page.on('request', (request) => paths.push(new URL(request.url()).pathname));
  page.on('pageerror', ({ message }) => complaints.push(message));
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  try {
    await page.goto(`http://127.0.0.1:${hosted.port}/`);
    await use(page);
    return { paths, complaints };
  } finally {
    await context.close();
    hosted.close();
  }
}

describe('examples', () => {
  it('embedded-visualiser draws a file with two linked views, without the engine, under a strict policy', async () => {
    const { paths, complaints } = await withEmbedded(async (page) => {
      await page.locator('moe-heatmap svg.figure').waitFor();
      expect(await page.locator('moe-heatmap .summary').innerText()).toMatch(/^\d+ tokens, 8 of 16 experts each/);
      await page.locator('moe-token-strip .body').getByText('asleep').first().waitFor();
      await page.locator('moe-heatmap').evaluate((view: MoeElement) => view.brush.select({ layer: 3, expert: 5 }));
      const linked = (): Promise<string> => page.locator('moe-token-strip').evaluate((view: MoeElement) => view.link);
      expect(await linked()).toContain('layer=3&expert=5');
    });
    expect(complaints).toEqual([]);
    // Two views of 23, and of the other entries only what reads files.
    expect(paths.filter((path) => /\/viz-(heatmap|token-strip)-/.test(path))).toHaveLength(2);
    expect(paths.filter((path) => /\/(viz-(atlas|flow|history|policies)|chat|worker|index)\b/.test(path))).toEqual([]);
    const code = paths.filter((path) => path.includes('/webmoe/dist/'));
    expect(code.length).toBeGreaterThan(3);
    const hasEngine = (path: string): boolean => /requestAdapter/.test(readFileSync(`dist/${basename(path)}`, 'utf8'));
    expect(code.filter(hasEngine)).toEqual([]);
  });

  it('a second copy of the views in a page leaves the first ones in place', async () => {
    const { complaints } = await withEmbedded(async (page) => {
      await page.locator('moe-heatmap svg.figure').waitFor();
      // As a text: in a function, Vitest would put its own import in the place of the browser's.
      const kept: boolean = await page.evaluate(`(async () => {
        const first = customElements.get('moe-heatmap');
        await import('./copy/dist/viz.js');
        return first !== undefined && customElements.get('moe-heatmap') === first;
      })()`);
      expect(kept).toBe(true);
    });
    expect(complaints).toEqual([]);
  });

  it.each([
    ['minimal-html', pageExample],
    ['vite', viteExample],
    ['next', nextExample],
  ])('%s answers', async (_, build) => {
    expect(await ask(await build())).not.toMatch(/error|cannot|must/i);
  });

  it.each([
    ['ai-sdk', /toolName: 'weather'/],
    ['routing-hooks', /Without expert \d+ of layer 0:[^]*without: /],
    ['cache-budget', /16 of 32 experts have a place[^]*32 of 32 experts have a place/],
  ])('%s runs in Node', async (name, said) => {
    expect(await command(process.execPath, ['main.js', talkingModel()], copyExample(name))).toMatch(said);
  });
});
