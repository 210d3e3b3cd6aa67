/**
 * Chromium on a profile on disk, which survives it. Playwright's own contexts are private windows: their file system is in memory, and slower.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll } from 'vitest';
import { CHROMIUM, CHROMIUM_ARGS, openSite, type Site } from './browser.ts';

const START_MS = 30_000;

export interface Profile {
  readonly dir: string;
  /** Starts the browser, with one page at `url`. */
  start(url: string): Promise<RunningProfile>;
  /** Deletes it. */
  remove(): void;
}

export interface RunningProfile {
  readonly browser: Browser;
  readonly page: Page;
  /** SIGKILL to the browser and all its processes, at once. */
  kill(): Promise<void>;
  /** Asks it to end. */
  close(): Promise<void>;
}

/** A test page of a site of its own, in a profile of its own, for all tests of a file. */
export function pageOnProfile(page: string): { readonly running: RunningProfile } {
  const profile = makeProfile();
  let site: Site;
  let running: RunningProfile;
  beforeAll(async () => {
    site = await openSite(page);
    running = await profile.start(site.at(`/${page}`));
  });
  afterAll(async () => {
    await running.close();
    profile.remove();
    await site.close();
  });
  return {
    get running() {
      return running;
    },
  };
}

export function makeProfile(): Profile {
  const dir = mkdtempSync(join(tmpdir(), 'webmoe-profile-'));
  return {
    dir,
    start: (url) => start(dir, url),
    remove: () => rmSync(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }),
  };
}

async function start(dir: string, url: string): Promise<RunningProfile> {
  const portFile = join(dir, 'DevToolsActivePort');
  rmSync(portFile, { force: true });
  // A process group of its own, so that it can be killed as one.
  const child = spawn(
    CHROMIUM,
    [...CHROMIUM_ARGS, '--headless=new', '--remote-debugging-port=0', `--user-data-dir=${dir}`, url],
    { detached: true, stdio: 'ignore' },
  );
  const kill = (): Promise<void> => killGroup(child);
  try {
    const browser = await chromium.connectOverCDP(`http://127.0.0.1:${await portOf(portFile)}`);
    const context = browser.contexts()[0]!;
    const page = context.pages()[0]!;
    await page.waitForLoadState();
    const close = async (): Promise<void> => {
      const session = await browser.newBrowserCDPSession();
      const ended = child.exitCode === null ? once(child, 'exit') : Promise.resolve();
      await session.send('Browser.close').catch(() => undefined);
      await ended;
      await kill();
    };
    return { browser, page, kill, close };
  } catch (error) {
    await kill();
    throw error;
  }
}

async function portOf(file: string): Promise<string> {
  for (const end = Date.now() + START_MS; Date.now() < end; await new Promise((r) => setTimeout(r, 20))) {
    try {
      const [port, path] = readFileSync(file, 'utf8').split('\n');
      if (port && path) return port;
    } catch {
      // not written yet
    }
  }
  throw new Error('Chromium did not say its debugging port');
}

async function killGroup(child: ChildProcess): Promise<void> {
  const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : Promise.resolve();
  try {
    process.kill(-child.pid!, 'SIGKILL');
  } catch {
    // all of it has ended
  }
  await ended;
}
