/** The engine's worker as users of the package get it: built by tsdown, from pages with strict policies, and where it cannot be started. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build as tsdown, type InlineConfig } from 'tsdown';
import { build as vite } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serve, type Served } from '../../scripts/serve.mjs';
import config from '../../tsdown.config.ts';
import { openSite, type OpenOptions, type Site } from '../support/browser.ts';
import { fixturePath } from '../support/models.ts';

const folder = mkdtempSync(join(tmpdir(), 'webmoe-worker-'));
const built = join(folder, 'package');
const page = (policy: string): string => `<!doctype html>
<meta charset="utf-8" />
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; ${policy}" />
<title>The package, for tests</title>
<script type="module" src="./package.js"></script>
`;
const POLICIES = {
  strict: "worker-src 'self'",
  trusted: "worker-src 'self'; require-trusted-types-for 'script'; trusted-types webmoe",
  blob: "worker-src 'self' blob:",
  none: "worker-src 'none'",
};

let site: Site;
let served: Served;
beforeAll(async () => {
  site = await openSite('faults.html');
  const [library, ioWorker, worker] = config as InlineConfig[];
  const changed = { outDir: built, dts: false, logLevel: 'silent', config: false } as const;
  await tsdown({ ...library, ...changed, entry: { package: 'test/browser/pages/package.ts' }, deps: worker!.deps! });
  await tsdown({ ...ioWorker, ...changed });
  await tsdown({ ...worker, ...changed });
  for (const [name, policy] of Object.entries(POLICIES)) writeFileSync(join(built, `${name}.html`), page(policy));
  cpSync(fixturePath('families/olmoe'), join(built, 'model'), { recursive: true });
  served = await serve({ dist: built, port: 0, host: '127.0.0.1' });
});
afterAll(async () => {
  await served.close();
  await site.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Outcome {
  readonly ids: number[];
  readonly runsIn: string;
  readonly storage: unknown;
  readonly warnings: string[];
  readonly requests: string[];
}

/** Loads the fixture by a relative address and generates. */
async function tokensAt(port: number, name: string, before?: OpenOptions['before'], classic = false): Promise<Outcome> {
  const context = await site.browser.newContext();
  await before?.(context);
  const tab = await context.newPage();
  const [warnings, requests] = [[] as string[], [] as string[]];
  tab.on('console', (message) => {
    if (message.type() === 'warning' && message.text().startsWith('webmoe')) warnings.push(message.text());
  });
  context.on('request', (request) => requests.push(new URL(request.url()).pathname));
  await tab.goto(`http://localhost:${port}/${name}.html`);
  await tab.waitForFunction(() => 'tokens' in window);
  const got = await tab.evaluate((isClassic) => {
    // The server's policy wants the address to be a trusted one.
    const { trustedTypes } = window as unknown as {
      readonly trustedTypes: { createPolicy(name: string, rules: object): { createScriptURL(url: string): string } };
    };
    const started = (): Worker =>
      new Worker(
        trustedTypes.createPolicy('webmoe', { createScriptURL: (url: string) => url }).createScriptURL('./worker.js'),
      );
    const worker = isClassic ? started : ('auto' as const);
    return window.tokens('model/', { storage: undefined, worker });
  }, classic);
  await context.close();
  return { ...got, warnings, requests };
}

describe('the worker’s file', () => {
  it('imports nothing, so that it is a module and a classic script', () => {
    const code = readFileSync(join(built, 'worker.js'), 'utf8');
    expect(code).not.toMatch(/^\s*(import|export)\b|\bimport\s*\(|import\.meta|\beval\(|new Function\(/m);
    expect(code).not.toContain('opfs-worker');
  });
});

describe('without a bundler', () => {
  let wanted: number[];

  it('runs in the worker under a strict policy, and keeps what it loads without a second worker', async () => {
    const got = await tokensAt(served.port, 'strict');
    expect(got).toMatchObject({ runsIn: 'worker', warnings: [], storage: { kind: 'opfs' } });
    expect(got.requests).not.toContain('/opfs-worker.js');
    expect(got.ids).toHaveLength(4);
    wanted = got.ids;
  });

  it('runs in the worker where the page wants Trusted Types', async () => {
    expect(await tokensAt(served.port, 'trusted')).toMatchObject({ runsIn: 'worker', ids: wanted, warnings: [] });
  });

  it('runs in a classic worker that was given', async () => {
    expect(await tokensAt(served.port, 'strict', undefined, true)).toMatchObject({ runsIn: 'worker', ids: wanted });
  });

  it('runs in the inline worker where the worker’s file is missing', async () => {
    const missing = tokensAt(served.port, 'blob', async (context) => {
      await context.route('**/worker.js', (route) => route.fulfill({ status: 404, body: 'Not found' }));
    });
    expect(await missing).toMatchObject({ runsIn: 'inline-worker', ids: wanted, warnings: [] });
  });

  it('runs in the page’s thread where there may be no worker, and says so once', async () => {
    const got = await tokensAt(served.port, 'none');
    expect(got).toMatchObject({ runsIn: 'this-thread', ids: wanted, storage: { kind: 'opfs-async' } });
    expect(got.warnings).toEqual([expect.stringContaining('no worker could be started')]);
  });

  it('runs in the worker in a Vite build', async () => {
    const outDir = join(folder, 'site');
    await vite({
      root: built,
      configFile: false,
      logLevel: 'silent',
      base: './',
      build: { outDir, modulePreload: { polyfill: false }, rolldownOptions: { input: join(built, 'strict.html') } },
    });
    expect(readdirSync(join(outDir, 'assets')).some((name) => /^worker-.*\.js$/.test(name))).toBe(true);
    cpSync(join(built, 'model'), join(outDir, 'model'), { recursive: true });
    const other = await serve({ dist: outDir, port: 0, host: '127.0.0.1' });
    try {
      expect(await tokensAt(other.port, 'strict')).toMatchObject({ runsIn: 'worker', ids: wanted, warnings: [] });
    } finally {
      await other.close();
    }
  });
});
