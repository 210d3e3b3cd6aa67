/** Starts the I/O worker from its own file: no blob, no eval, so that it runs under a strict Content-Security-Policy. */

interface ScriptUrlPolicy {
  createScriptURL(url: string): URL;
}
interface TrustedTypesFactory {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): ScriptUrlPolicy;
}

/** Name of the Trusted Types policy: pages that list theirs (`trusted-types` in the CSP) must list it. */
const POLICY = 'webmoe';

let policy: ScriptUrlPolicy | null | undefined;

/** null where there are no Trusted Types, or the page's CSP does not list the policy. */
function scriptPolicy(): ScriptUrlPolicy | null {
  if (policy !== undefined) return policy;
  const { trustedTypes } = globalThis as { readonly trustedTypes?: TrustedTypesFactory };
  try {
    policy = trustedTypes?.createPolicy(POLICY, { createScriptURL: (url) => url }) ?? null;
  } catch {
    policy = null;
  }
  return policy;
}

/** @throws when the page's CSP forbids workers of its own origin, or this file came from another one */
export function startIoWorker(): Worker {
  // Bundlers look for the words `new Worker(new URL(`. Under this name they start a worker whose address is a trusted one.
  const Worker = class extends globalThis.Worker {
    constructor(url: URL, options: WorkerOptions) {
      super(scriptPolicy()?.createScriptURL(url.href) ?? url, options);
    }
  };
  return new Worker(new URL('./opfs-worker.ts', import.meta.url), { type: 'module', name: 'webmoe-io' });
}
