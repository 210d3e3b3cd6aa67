/** The page's copy of itself: made by a service worker in built pages, and replaced when the visitor says so. Without one the page is the same. */
import { trusted } from './trusted.ts';

/** In the built page: which build it is of. */
const VERSION = 'meta[name=webmoe-shell]';
const WORKER = './service-worker.js';
/** A tab that stays open for days asks for a newer build when it is looked at again. */
const ASK_AFTER_MS = 3_600_000;

export interface ShellEvents {
  /** A newer build is here. @param reload ends this page, and starts that one */
  readonly onUpdate: (reload: () => void) => void;
}

/** Resolves when it is known whether there will be a copy. Never rejects: some private windows have service workers and refuse them. */
export async function keepShell(events: ShellEvents): Promise<void> {
  const version = document.querySelector<HTMLMetaElement>(VERSION)?.content;
  if (!version || !isSecureContext || !('serviceWorker' in navigator)) return;
  const { serviceWorker } = navigator;
  const address = trusted(new URL(WORKER, document.baseURI));
  const registration = await serviceWorker.register(address).catch(() => null);
  if (!registration) return;
  holdShell(`webmoe-shell ${registration.scope} ${version}`);
  followUpdates(registration, serviceWorker, events);
  serviceWorker.controller?.postMessage('tidy');
}

/** As long as this tab is open, its build's files stay: see `ShellCache.tidy`. */
function holdShell(name: string): void {
  void navigator.locks.request(name, { mode: 'shared' }, () => new Promise(() => undefined));
}

function followUpdates(
  registration: ServiceWorkerRegistration,
  serviceWorker: ServiceWorkerContainer,
  { onUpdate }: ShellEvents,
): void {
  let isReloading = false;
  const reload = (): void => {
    const { waiting } = registration;
    if (!waiting) return location.reload(); // another tab was quicker
    isReloading = true;
    waiting.postMessage('take-over');
  };
  const offer = (): void => {
    if (registration.waiting && registration.active) onUpdate(reload);
  };
  const watch = (): void => registration.installing?.addEventListener('statechange', offer);
  let wasControlled = serviceWorker.controller !== null;
  serviceWorker.addEventListener('controllerchange', () => {
    if (isReloading) location.reload();
    else if (wasControlled) onUpdate(reload);
    wasControlled = true;
  });
  registration.addEventListener('updatefound', watch);
  watch();
  offer();
  askAgain(registration);
}

function askAgain(registration: ServiceWorkerRegistration): void {
  let askedAt = performance.now();
  document.addEventListener('visibilitychange', () => {
    if (document.hidden || !navigator.onLine || performance.now() - askedAt < ASK_AFTER_MS) return;
    askedAt = performance.now();
    registration.update().catch(() => undefined); // the next look asks again
  });
}
