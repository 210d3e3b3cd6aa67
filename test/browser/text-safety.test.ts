/** A model's text cannot run, load or navigate: 150 payloads at every prefix, under the policy that the page is served with. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { headerPolicy, metaPolicy } from '../../scripts/csp.mjs';
import { openSite, type OpenedPage, type OpenOptions, type Site } from '../support/browser.ts';
import { XSS_PAYLOADS } from '../support/xss-payloads.ts';

let site: Site;
beforeAll(async () => {
  site = await openSite('text.html');
});
afterAll(() => site.close());

interface Watched extends OpenedPage {
  readonly dialogs: string[];
  /** Everything asked for after the page was there, but for its own scripts. */
  readonly requests: string[];
}

async function watch(options: OpenOptions = {}): Promise<Watched> {
  const opened = await site.open('/text.html', options);
  const { page } = opened;
  const [dialogs, requests]: [string[], string[]] = [[], []];
  page.on('dialog', (dialog) => {
    dialogs.push(dialog.message());
    void dialog.dismiss();
  });
  await page.waitForFunction(() => 'text' in window);
  await page.route('**', (route) => {
    const url = route.request().url();
    if (new RegExp(`^${site.at('/assets/')}[\\w-]+\\.js$`).test(url)) return route.continue();
    requests.push(url);
    return route.abort();
  });
  return { ...opened, dialogs, requests };
}

describe('the text of a message', () => {
  it('has 150 payloads against it, all of them different', () => {
    expect(new Set(XSS_PAYLOADS).size).toBe(XSS_PAYLOADS.length);
    expect(XSS_PAYLOADS.length).toBeGreaterThanOrEqual(150);
  });

  it('does nothing, at any prefix of any payload: 0 dialogs, 0 requests, nothing that could act', async () => {
    const { page, dialogs, requests, close } = await watch();
    const start = performance.now();
    const { renderings, faults } = await page.evaluate((payloads) => window.text.attack(payloads), XSS_PAYLOADS);
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    console.log(`${XSS_PAYLOADS.length} payloads, ${renderings} renderings, ${seconds} s; ${faults.length} faults,`);
    console.log(`${dialogs.length} dialogs, ${requests.length} requests`);
    expect(faults).toEqual([]);
    expect(await page.evaluate(() => window.text.ran)).toBe(0);
    expect(dialogs).toEqual([]);
    expect(requests).toEqual([]);
    expect(renderings).toBeGreaterThan(150 * 20);
    await close();
  });

  it('is looked at by checks that see an unsafe renderer', async () => {
    const { page, requests, close } = await watch({ bypassCSP: true });
    const chosen = XSS_PAYLOADS.filter((payload) =>
      /^<(img src=x onerror|details|iframe srcdoc=")|^!\[a\]\(http|^\[a\]\(java/.test(payload),
    );
    expect(chosen.length).toBeGreaterThan(3);
    const { faults } = await page.evaluate((payloads) => window.text.attack(payloads, true), chosen);
    for (const fault of [/^element iframe/, /^element img/, /^attribute ontoggle/, /^address javascript:/])
      expect(faults.filter((text) => fault.test(text)).length, String(fault)).toBeGreaterThan(0);
    expect(await page.evaluate(() => window.text.ran)).toBeGreaterThan(0);
    expect(requests.join(' ')).toContain('leak.test');
    await close();
  });

  it('could not become HTML even by mistake: the policy refuses the unsafe renderer', async () => {
    const { page, close } = await watch();
    const refused = page.evaluate(() => window.text.attack(['<b>x</b>'], true));
    await expect(refused).rejects.toThrow(/TrustedHTML/);
    await close();
  });
});

describe('the policy', () => {
  it('is sent with the page, and stands in the page for servers that send none', async () => {
    const response = await fetch(site.at('/text.html'));
    expect(response.headers.get('content-security-policy')).toBe(headerPolicy);
    expect(headerPolicy).toContain("default-src 'none'");
    expect(metaPolicy).not.toContain('frame-ancestors');
  });
});
