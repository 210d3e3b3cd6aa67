/** The page without a network, between two builds of it, and as an app. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildOf, openBuiltPage, type BuiltPage } from '../support/built-page.ts';
import { answer, copied, kept, load, open as openTab, WAIT } from './visitor.ts';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SHOTS = process.env.WEBMOE_SHOTS;

let site: BuiltPage;
beforeAll(async () => {
  site = await openBuiltPage();
});
afterAll(() => site.close());

const open = (context: BrowserContext, url = site.url): Promise<Page> => openTab(context, url);
const cacheNames = (page: Page): Promise<string[]> => page.evaluate(() => caches.keys());

/** A browser asks for the service worker by itself whenever a page starts, and emulated offline does not hold it back. */
const askedByPages = (): string[] => site.asked.filter((path) => !path.endsWith('/service-worker.js'));

/** Ids of axe's rules that are broken seriously. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const { axe: run } = window as unknown as {
      axe: { run(): Promise<{ violations: { id: string; impact: string }[] }> };
    };
    const found = await run.run();
    return found.violations.filter(({ impact }) => /serious|critical/.test(impact)).map(({ id }) => id);
  });
}

/** Screenshots to look at, for WEBMOE_SHOTS=folder. */
async function shots(page: Page, name: string, part = 'header'): Promise<void> {
  if (!SHOTS) return;
  for (const colorScheme of ['light', 'dark'] as const)
    for (const width of [360, 768, 1440]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 800 });
      await page
        .locator(part)
        .first()
        .evaluate((element) => element.scrollIntoView());
      await page.screenshot({ path: `${SHOTS}/${name}-${width}-${colorScheme}.png` });
    }
}

describe('a page with its own copy', () => {
  it('has a manifest that browsers install from, and the button where they offer it', async () => {
    const { context, problems } = await site.context();
    const page = await open(context);
    await copied(page);
    const sizes = await page.evaluate(async () => {
      const [name] = await caches.keys();
      const files = await (await caches.open(name!)).matchAll();
      return Promise.all(files.map((file) => file.blob().then(({ size }) => size)));
    });
    const megabytes = sizes.reduce((sum, size) => sum + size, 0) / 1e6;
    console.log(`the page’s copy of itself: ${sizes.length} files, ${megabytes.toFixed(2)} MB`);
    expect(megabytes).toBeLessThan(3.3);
    const devtools = await context.newCDPSession(page);
    const manifest = await devtools.send('Page.getAppManifest');
    expect(manifest.errors).toEqual([]);
    expect(JSON.parse(manifest.data ?? '')).toMatchObject({ short_name: 'webmoe', start_url: './', scope: './' });
    expect(new URL(manifest.url).pathname).toBe('/some/where/manifest.webmanifest');
    const { installabilityErrors } = await devtools.send('Page.getInstallabilityErrors');
    expect(installabilityErrors.map(({ errorId }) => errorId)).toEqual(['in-incognito']); // tests run in private windows
    const { icons } = JSON.parse(manifest.data ?? '') as { icons: { src: string; type: string; sizes: string }[] };
    const drawn = await page.evaluate(
      async (sources) => {
        const images = sources.map((src) => Object.assign(new Image(), { src }));
        await Promise.all(images.map((image) => image.decode()));
        return images.map(({ naturalWidth, naturalHeight }) => `${naturalWidth}x${naturalHeight}`);
      },
      icons.map(({ src }) => src),
    );
    expect(icons.filter(({ type }, i) => type === 'image/png' && icons[i]!.sizes !== drawn[i])).toEqual([]);
    expect(icons.some(({ sizes }) => sizes === '512x512')).toBe(true);
    const install = page.getByRole('button', { name: 'Install webmoe' });
    expect(await install.count()).toBe(0);
    await page.evaluate(() => {
      const prompt = (): void => void (document.title = 'asked');
      dispatchEvent(Object.assign(new Event('beforeinstallprompt', { cancelable: true }), { prompt }));
    });
    expect(await violations(page)).toEqual([]);
    await shots(page, 'install');
    await install.click();
    expect(await page.title()).toBe('asked');
    expect(await install.count()).toBe(0);
    expect(problems).toEqual([]);
    await context.close();
  });

  it('is the same page where the browser refuses one', async () => {
    const { context, problems } = await site.context();
    await context.addInitScript(() => {
      if (!('serviceWorker' in navigator)) return; // the empty page before
      const refuse = (): Promise<never> => Promise.reject(new DOMException('refused', 'SecurityError'));
      Object.assign(navigator.serviceWorker, { register: refuse });
    });
    const page = await open(context);
    await page.getByRole('button', { name: 'Load the model' }).waitFor(WAIT);
    expect(await cacheNames(page)).toEqual([]);
    expect(problems).toEqual([]);
    await context.close();
  });
});

describe('a newer build', () => {
  it('waits until the visitor says so; a tab of the older one goes on, with the older parts', async () => {
    const { context, problems } = await site.context();
    const [one, other] = [await open(context), await open(context)];
    await copied(one);
    await copied(other);
    const [older] = await cacheNames(one);
    const build = await buildOf(one);
    await site.rebuild();
    await one.evaluate(() => navigator.serviceWorker.ready.then((registration) => registration.update()));
    const strip = 'A new version of this page is ready';
    for (const page of [one, other]) await page.locator('.page-offer').getByText(strip).waitFor(WAIT);
    expect(await violations(one)).toEqual([]);
    await shots(one, 'update');
    // Nobody has said so yet: a reload is the same build.
    await one.reload();
    expect(await buildOf(one)).toBe(build);

    await one.locator('.page-offer').getByRole('button', { name: 'Reload' }).click(WAIT);
    await expect.poll(() => buildOf(one).catch(() => null), WAIT).not.toBe(build);
    // The server has none of its files any more.
    await load(other);
    await answer(other);
    expect(await buildOf(other)).toBe(build);
    expect(await cacheNames(one)).toContain(older);

    await other.locator('.page-offer').getByRole('button', { name: 'Reload' }).click(WAIT);
    await expect.poll(() => buildOf(other).catch(() => null), WAIT).not.toBe(build);
    await other.reload();
    await expect.poll(() => cacheNames(one), WAIT).toEqual([expect.not.stringMatching(older!)]);
    expect(problems).toEqual([]);
    await context.close();
  });
});

describe('without a network', () => {
  it('a second visit starts, loads the model and answers, and asks nobody; so it does when only the server is gone', async () => {
    const { context, problems } = await site.context();
    const first = await open(context);
    await load(first);
    const before = await answer(first);
    await copied(first);
    await kept(context, site.url);
    await first.close();

    await context.setOffline(true);
    // Pages that a service worker answers for are cut off, but not told.
    await context.addInitScript(() =>
      Object.defineProperty(Navigator.prototype, 'onLine', { get: () => sessionStorage.getItem('online') !== null }),
    );
    site.forget();
    const page = await open(context);
    await page.getByText('It is on this computer already').waitFor(WAIT);
    await page.getByText('No connection. Models that are on this computer').waitFor(WAIT);
    await page.getByText('A Hub needs a connection').waitFor(WAIT);
    expect(await violations(page)).toEqual([]);
    await shots(page, 'offline', '.picker');
    await load(page);
    expect((await answer(page)).slice(0, 4)).toBe(before.slice(0, 4));
    expect(askedByPages()).toEqual([]);

    // A model that is not here: said, and not as a fault of the model's.
    const other = await open(context, site.url.replace('letters', 'other'));
    await other.getByRole('heading', { name: 'There is no connection' }).waitFor(WAIT);
    expect(await violations(other)).toEqual([]);
    await shots(other, 'offline-problem');

    await context.setOffline(false);
    await site.stop();
    await page.evaluate(() => sessionStorage.setItem('online', 'as far as it knows'));
    await page.reload();
    await page.getByText('It is on this computer already').waitFor(WAIT);
    expect(problems).toEqual([]);
    await context.close();
  });
});
