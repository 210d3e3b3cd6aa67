import { describe, expect, it } from 'vitest';
import { marked, shellOf, versionOf } from '../../../../demo/offline/plugin.ts';
import { ShellCache } from '../../../../demo/offline/shell-cache.ts';

const SCOPE = 'https://example.org/some/where/';

/** Caches whose files are what `answers` says; a name that it lacks fails, as a fetch does. */
class FakeCaches {
  readonly stored = new Map<string, Map<string, string>>();
  readonly answers = new Map<string, string>();

  has = async (name: string): Promise<boolean> => this.stored.has(name);
  keys = async (): Promise<string[]> => [...this.stored.keys()];
  delete = async (name: string): Promise<boolean> => this.stored.delete(name);
  open = async (name: string): Promise<unknown> => {
    const files = this.stored.get(name) ?? new Map<string, string>();
    this.stored.set(name, files);
    return {
      match: async (address: string) => files.get(address),
      addAll: async (requests: Request[]) => {
        for (const { url } of requests) if (!this.answers.has(url)) throw new TypeError(`${url} failed`);
        for (const { url } of requests) files.set(url, this.answers.get(url)!);
      },
    };
  };
}

const build = (mark: string): Map<string, string> =>
  new Map([
    ['index.html', `<title>x</title>${mark}`],
    [`assets/main-${mark}.js`, mark],
    ['icon.svg', '<svg/>'],
  ]);

function open(mark: string, caches: FakeCaches): { cache: ShellCache; name: string } {
  const files = build(mark);
  const version = versionOf(files);
  for (const [name, content] of files)
    caches.answers.set(new URL(name === 'index.html' ? './' : name, SCOPE).href, content);
  const cache = new ShellCache(shellOf(files, version), SCOPE, caches as unknown as CacheStorage);
  return { cache, name: `webmoe-shell ${SCOPE} ${version}` };
}
const nobody = async (): Promise<string[]> => [];

describe('the page’s own cache', () => {
  it('has every file of its build, and the page for whatever is asked of it', async () => {
    const caches = new FakeCaches();
    const { cache, name } = open('one', caches);
    await cache.fill();
    expect([...caches.stored.get(name)!.keys()]).toEqual([SCOPE, `${SCOPE}assets/main-one.js`, `${SCOPE}icon.svg`]);
    const page = { method: 'GET', mode: 'navigate', url: `${SCOPE}?model=x` } as const;
    expect(await cache.find(cache.addressOf(page)!)).toContain('<title>');
    expect(cache.addressOf({ ...page, url: `${SCOPE}index.html` })).toBe(SCOPE);
  });

  it.each([
    ['a model', { method: 'GET', mode: 'cors', url: `${SCOPE}models/m/config.json` }],
    ['a page below', { method: 'GET', mode: 'navigate', url: `${SCOPE}docs/` }],
    ['another folder', { method: 'GET', mode: 'navigate', url: 'https://example.org/' }],
    ['another site', { method: 'GET', mode: 'cors', url: 'https://example.com/some/where/icon.svg' }],
    ['what is sent', { method: 'POST', mode: 'cors', url: `${SCOPE}icon.svg` }],
  ] as const)('leaves %s to the network', (_name, request) => {
    expect(open('one', new FakeCaches()).cache.addressOf(request)).toBeNull();
  });

  it('keeps nothing of a build that did not come whole, and all of one that did before', async () => {
    const caches = new FakeCaches();
    const { cache, name } = open('one', caches);
    caches.answers.delete(`${SCOPE}icon.svg`);
    await expect(cache.fill()).rejects.toThrow('icon.svg failed');
    expect(caches.stored.size).toBe(0);
    caches.answers.set(`${SCOPE}icon.svg`, '<svg/>');
    await cache.fill();
    caches.answers.delete(`${SCOPE}icon.svg`);
    await expect(cache.fill()).rejects.toThrow('icon.svg failed');
    expect(caches.stored.get(name)!.size).toBe(3);
  });

  it('has parts of an older build as long as a tab uses it', async () => {
    const caches = new FakeCaches();
    const older = open('one', caches);
    await older.cache.fill();
    const foreign = 'webmoe-shell https://example.org/ 0123';
    await caches.open(foreign);
    const newer = open('two', caches);
    await newer.cache.fill();
    const part = `${SCOPE}assets/main-one.js`;
    await newer.cache.tidy(async () => [older.name]);
    expect(newer.cache.addressOf({ method: 'GET', mode: 'cors', url: part })).toBe(part);
    expect(await newer.cache.find(part)).toBe('one');
    await newer.cache.tidy(nobody);
    expect(await newer.cache.find(part)).toBeUndefined();
    expect([...caches.stored.keys()]).toEqual([foreign, newer.name]);
  });
});

describe('the name of a build', () => {
  it('is that of its files, whatever their order', () => {
    const files = build('one');
    expect(versionOf(new Map([...files].reverse()))).toBe(versionOf(files));
    for (const name of files.keys()) expect(versionOf(new Map([...files, [name, 'other']]))).not.toBe(versionOf(files));
  });

  it('stands in the page', () => {
    expect(marked('<title>a</title>', '01ab')).toContain('<meta name="webmoe-shell" content="01ab" />');
  });
});
