/** Answers for the page's own files when there is no network, or before one is asked. The build puts it beside the page, with the list of files. */
import { ShellCache, type Shell } from './shell-cache.ts';

/** Put here by the build. */
declare const SHELL: Shell;

interface ExtendableEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchEvent extends ExtendableEvent {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}
/** The part of a service worker's global that is used here; TypeScript's library for pages has none. */
interface ServiceWorkerScope {
  readonly registration: Pick<ServiceWorkerRegistration, 'scope' | 'waiting' | 'installing'>;
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: 'install' | 'activate', listener: (event: ExtendableEvent) => void): void;
  addEventListener(type: 'message', listener: (event: ExtendableEvent & MessageEvent) => void): void;
  addEventListener(type: 'fetch', listener: (event: FetchEvent) => void): void;
}

const scope = globalThis as unknown as ServiceWorkerScope;
const shell = new ShellCache(SHELL, scope.registration.scope, caches);

async function lockNames(): Promise<(string | undefined)[]> {
  const { held = [] } = await navigator.locks.query();
  return held.map(({ name }) => name);
}

/** Not while a newer build has its cache already, and no tab that would hold its lock. */
async function tidy(): Promise<void> {
  if (!scope.registration.waiting && !scope.registration.installing) await shell.tidy(lockNames);
}

// A newer build waits here until its page is asked for, or all tabs of the older one are closed.
scope.addEventListener('install', (event) => event.waitUntil(shell.fill()));
scope.addEventListener('activate', (event) => event.waitUntil(tidy().then(() => scope.clients.claim())));
scope.addEventListener('message', (event) => {
  if (event.data === 'take-over') event.waitUntil(scope.skipWaiting());
  if (event.data === 'tidy') event.waitUntil(tidy());
});
scope.addEventListener('fetch', (event) => {
  const address = shell.addressOf(event.request);
  if (address !== null) event.respondWith(shell.find(address).then((found) => found ?? fetch(event.request)));
});
