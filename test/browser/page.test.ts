/** The page as `npm start` builds and serves it, with the real engine: browsers without WebGPU, servers with faults, the shipped model. */
import { createReadStream, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSite, type OpenOptions, type Site } from '../support/browser.ts';
import { ggufOf, ggufText } from '../support/gguf-fixture.ts';
import { withLetters } from '../support/letters.ts';
import { filesOf, fixturePath } from '../support/models.ts';

let site: Site;
beforeAll(async () => {
  site = await openSite();
});
afterAll(() => site.close());

const title = (page: Page): Promise<string> => page.getByRole('heading', { level: 1 }).innerText();
const problemId = (page: Page): Promise<string | null> => page.locator('.problem').getAttribute('data-problem');

/** Runs a script in every page before its own. */
const script =
  (content: string) =>
  (context: BrowserContext): Promise<void> =>
    context.addInitScript({ content }).then(() => undefined);

describe('where WebGPU is missing', () => {
  it.each<[string, string, RegExp, OpenOptions]>([
    [
      'no-webgpu',
      'This browser has no WebGPU',
      /Chrome on Linux[\s\S]*chrome:\/\/flags\/#enable-unsafe-webgpu[\s\S]*Firefox 141/,
      { before: script(`delete Navigator.prototype.gpu`) },
    ],
    [
      'no-webgpu',
      'This browser has no WebGPU',
      /iOS or iPadOS 26/,
      {
        before: script(`delete Navigator.prototype.gpu`),
        userAgent:
          'Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1',
      },
    ],
    [
      'no-adapter',
      'WebGPU finds no graphics card',
      /chrome:\/\/settings\/system[\s\S]*remote desktop[\s\S]*chrome:\/\/gpu/,
      { before: script(`GPU.prototype.requestAdapter = async () => null`) },
    ],
    [
      'insecure-context',
      'This page needs a secure address',
      /https:\/\/insecure\.test[\s\S]*http:\/\/localhost/,
      { host: 'insecure.test' },
    ],
  ])('%s: says why, what to do, and gives details to copy', async (id, heading, advice, options) => {
    const { page, problems, close } = await site.open('/', options);
    await page.locator('.problem').waitFor();
    expect(await problemId(page)).toBe(id);
    expect(await title(page)).toBe(heading);
    expect(await page.locator('main').innerText()).toMatch(advice);
    await page.getByText('Details for a report').click();
    const details = await page.locator('pre').innerText();
    expect(details).toContain(`problem: ${id}`);
    expect(details).toContain(options.userAgent ?? 'Chrome');
    expect(details).toContain('adapter: none');
    await page.getByRole('button', { name: 'Copy' }).click();
    await page.getByRole('button', { name: /^(Copied|Selected)/ }).waitFor();
    await page.getByRole('button', { name: 'Check again' }).click();
    await page.locator('.problem').waitFor();
    expect(problems).toEqual([]);
    await close();
  });

  it('a software adapter: says that it is slow, and goes on', async () => {
    const { page, problems, close } = await site.open('/');
    await page.getByText('(129 MB)').waitFor();
    expect(await page.locator('.banner').innerText()).toMatch(/runs in software here \(.*swiftshader.*\)/i);
    expect(problems).toEqual([]);
    await close();
  });

  it('a card that goes away between the check and the load', async () => {
    // Without workers the engine asks in the page's own thread, where it can be refused.
    const before = script(`
      delete globalThis.Worker;
      const request = GPU.prototype.requestAdapter;
      let calls = 0;
      GPU.prototype.requestAdapter = function (options) { return calls++ ? Promise.resolve(null) : request.call(this, options); };`);
    const { page, close } = await site.open('/?autoload=1', { before });
    await page.locator('.problem').waitFor();
    expect(await problemId(page)).toBe('no-adapter');
    await close();
  });
});

describe('where the model is not to be had', () => {
  it('a folder that does not exist', async () => {
    const { page, close } = await site.open('/?model=models/none');
    await page.locator('.problem').waitFor();
    expect(await title(page)).toBe('This is not a model that webmoe can read');
    expect(await page.locator('.summary').innerText()).toContain('models/none/');
    expect(await page.locator('main').innerText()).not.toMatch(/\bat \S+:\d+:\d+/);
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.locator('.problem').waitFor();
    await close();
  });

  it('a server that cannot be reached', async () => {
    const { page, close } = await site.open('/?model=http://localhost:1/m/');
    await page.locator('.problem').waitFor({ timeout: 120_000 });
    expect(await title(page)).toBe('The model could not be fetched');
    await close();
  });

  it('a model of a family that webmoe does not run', async () => {
    const { page, close } = await site.open('/?model=odd/', {
      before: async (context) => {
        await context.route('**/odd/config.json', (route) => route.fulfill({ json: { model_type: 'mamba' } }));
      },
    });
    await page.locator('.problem').waitFor();
    expect(await problemId(page)).toBe('unsupported-model');
    expect(await page.locator('.summary').innerText()).toContain('mamba');
    await close();
  });
});

describe('a server that ignores ranges', () => {
  let server: Server;
  beforeAll(async () => {
    server = createServer((request, response) => {
      const file = join('models/smolmoe-135m-instruct', new URL(request.url ?? '/', 'http://x').pathname);
      const size = statSync(file, { throwIfNoEntry: false })?.size;
      response.setHeader('Access-Control-Allow-Origin', '*');
      response.setHeader('Access-Control-Allow-Headers', '*');
      if (request.method === 'OPTIONS') response.writeHead(204).end();
      else if (size === undefined) response.writeHead(404).end();
      else createReadStream(file).pipe(response.writeHead(200, { 'Content-Length': size }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  it('still plans, from another origin, and does not load without a click', async () => {
    const { port } = server.address() as AddressInfo;
    const { page, close } = await site.open(`/?autoload=1&model=http://127.0.0.1:${port}/`);
    await page.getByText('(129 MB)').waitFor({ timeout: 120_000 });
    expect(await page.locator('main').innerText()).toContain(`127.0.0.1:${port}`);
    await page.getByRole('button', { name: 'Load the model' }).waitFor();
    await close();
  });
});

describe('the shipped model', () => {
  it('cancels in the middle of a load', async () => {
    const { page, problems, close } = await site.open('/');
    await page.getByRole('button', { name: 'Load the model' }).click();
    await page.getByText(/MB of 129 MB/).waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: 'Load the model' }).waitFor();
    expect(problems).toEqual([]);
    await close();
  });

  it('loads, answers, stops, answers again, and survives the loss of its device', async () => {
    const { page, problems, close } = await site.open('/?autoload=1');
    const wait = { timeout: 300_000 };
    await page.getByText(/MB of 129 MB/).waitFor();
    await page.locator('.chat').waitFor(wait);
    const box = page.getByRole('textbox', { name: 'Message' });
    await box.fill('What is the capital of France?');
    await box.press('Enter');
    await expect.poll(() => page.locator('.assistant .text').first().textContent(), wait).toMatch(/\w+ \w+/);
    await page.keyboard.press('Escape');
    await page.locator('.log[aria-busy=false]').waitFor(wait);
    expect(await page.locator('.status').innerText()).toMatch(/^Stopped · .*first token after .* tokens$/);
    await box.fill('Count from one to ten.');
    await box.press('Enter');
    const answer = page.locator('.assistant .text').nth(1);
    await expect.poll(() => answer.textContent(), wait).toMatch(/\w/);
    const devtools = await site.browser.newBrowserCDPSession();
    await devtools.send('Browser.crashGpuProcess').catch(() => undefined); // it answers with its own end
    await page.getByText('The graphics device was lost; rebuilding…').first().waitFor(wait);
    const before = await answer.textContent();
    await expect.poll(() => answer.textContent(), wait).not.toBe(before);
    await page.keyboard.press('Escape');
    await page.locator('.log[aria-busy=false]').waitFor(wait);
    expect(await page.locator('.user .text').first().textContent()).toBe('What is the capital of France?');
    expect(problems).toEqual([]);
    await close();
  });

  it('loads one .gguf file that is dropped, and answers with it', async () => {
    const files = withLetters(filesOf(fixturePath('families/olmoe')));
    const bytes = ggufOf(files, { metadata: ggufText(files) });
    const { page, problems, close } = await site.open('/');
    await page.locator('.start').evaluate((start, base64) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], 'tiny (1).gguf'));
      start.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
    }, Buffer.from(bytes).toString('base64'));
    await page.locator('.chat').waitFor({ timeout: 600_000 });
    expect(await page.locator('header').innerText()).toContain('tiny (1)');
    const box = page.getByRole('textbox', { name: 'Message' });
    await box.fill('abcd');
    await box.press('Enter');
    await expect
      .poll(() => page.locator('.assistant .text').last().textContent(), { timeout: 240_000 })
      .toMatch(/[a-p]/);
    await page.keyboard.press('Escape');
    await page.locator('.log[aria-busy=false]').waitFor({ timeout: 240_000 });
    expect(problems).toEqual([]);
    await close();
  });

  it('loads from the files of a folder', async () => {
    const { page, problems, close } = await site.open('/');
    await page.locator('input[type=file]').setInputFiles('models/smolmoe-135m-instruct');
    await page.locator('.chat').waitFor({ timeout: 600_000 });
    expect(await page.locator('header').innerText()).toContain('smolmoe-135m-instruct');
    expect(problems).toEqual([]);
    await close();
  });
});
