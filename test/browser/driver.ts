/** The page on its scripted model, as a test drives it. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import { expect } from 'vitest';
import type { OpenedPage, OpenOptions, Site } from '../support/browser.ts';
import type { Fake } from './pages/fake.ts';
import type { StorageScript } from './pages/fake-storage.ts';
import type { StoreScript } from './pages/fake-store.ts';

export const PHONE: OpenOptions = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** The page, with its scripted model at hand. */
export class Driver {
  readonly page: Page;
  readonly #opened: OpenedPage;

  constructor(opened: OpenedPage) {
    this.#opened = opened;
    this.page = opened.page;
  }

  static async open(site: Site, query = '', options: OpenOptions = {}): Promise<Driver> {
    return new Driver(await site.open(`/fake.html${query}`, options));
  }

  /** How text stands out: the first element's colour against the second's ground, each by its selector. */
  async contrast(text: string, ground: string): Promise<number> {
    const [color, background] = await this.page.evaluate(
      ([a, b]) =>
        [
          getComputedStyle(document.querySelector(a)!).color,
          getComputedStyle(document.querySelector(b)!).backgroundColor,
        ] as const,
      [text, ground] as const,
    );
    return contrast(color, background);
  }

  /** Calls a method of the scripted model. */
  async fake<
    K extends 'progress' | 'finishLoad' | 'failLoad' | 'failNextPlan' | 'say' | 'end' | 'fail' | 'lose' | 'recover',
  >(method: K, ...args: Parameters<Fake[K]>): Promise<void> {
    await this.page.evaluate(([name, values]) => (window.fake[name] as (...values: unknown[]) => void)(...values), [
      method,
      args,
    ] as const);
  }

  /** Calls a method of its expert store. */
  async store<K extends 'change' | 'token' | 'finishResize' | 'failResize'>(
    method: K,
    ...args: Parameters<StoreScript[K]>
  ): Promise<void> {
    await this.page.evaluate(
      ([name, values]) => (window.fake.store![name] as (...values: unknown[]) => void)(...values),
      [method, args] as const,
    );
  }

  /** Calls a method of its storage. */
  async storage<K extends 'failNext' | 'verifyProgress' | 'finishVerify' | 'failVerify'>(
    method: K,
    ...args: Parameters<StorageScript[K]>
  ): Promise<void> {
    await this.page.evaluate(
      ([name, values]) => (window.fake.storage[name] as (...values: unknown[]) => void)(...values),
      [method, args] as const,
    );
  }

  button(name: string | RegExp): ReturnType<Page['getByRole']> {
    return this.page.getByRole('button', { name });
  }

  get box(): ReturnType<Page['getByRole']> {
    return this.page.getByRole('textbox', { name: 'Message' });
  }

  view(): Promise<string | null> {
    return this.page.locator('#app').getAttribute('data-view');
  }

  async chat(): Promise<void> {
    await this.button('Load the model').click();
    await this.fake('finishLoad');
    await this.page.locator('.chat').waitFor();
  }

  async send(text: string): Promise<void> {
    await this.box.fill(text);
    await this.box.press('Enter');
  }

  /** Waits until the answer under way is over. */
  async settled(): Promise<void> {
    await this.page.locator('.log[aria-busy=false]').waitFor();
  }

  async answer(text: string): Promise<void> {
    await this.fake('say', text);
    await this.fake('end');
    await this.settled();
  }

  answers(): Promise<string[]> {
    return this.page.locator('.assistant .text').allTextContents();
  }

  async overflow(): Promise<number> {
    return this.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  }

  /** Rules that axe calls serious or critical, and that the page breaks. */
  async broken(): Promise<string[]> {
    await this.page.evaluate(axe);
    return this.page.evaluate(async () => {
      const { axe: run } = window as unknown as {
        axe: { run(): Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }> };
      };
      const { violations } = await run.run();
      return violations
        .filter(({ impact }) => impact === 'serious' || impact === 'critical')
        .map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`);
    });
  }

  /** For people to look at: in the folder SHOTS, where that is set. */
  async shot(name: string): Promise<void> {
    if (process.env.SHOTS) await this.page.screenshot({ path: `${process.env.SHOTS}/${name}.png` });
  }

  /** Ends the test: nothing may have gone to the console. */
  async done(): Promise<void> {
    expect(this.#opened.problems).toEqual([]);
    await this.#opened.close();
  }
}

/** WCAG's contrast ratio of two `rgb(...)` colours. */
function contrast(a: string, b: string): number {
  const luminance = (color: string): number => {
    const [r, g, bl] = (color.match(/[\d.]+/g) ?? []).slice(0, 3).map((v) => {
      const c = Number(v) / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * bl!;
  };
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high! + 0.05) / (low! + 0.05);
}
